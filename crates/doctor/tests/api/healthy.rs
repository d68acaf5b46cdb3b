//! Twelve healthy set-ups of different shape: no finding.

use std::fs;

use latchkey_testkit::TestCertificates;

use crate::support::{Deployment, EVERY_SCOPE, SEALING_KEY, assert_healthy, looked};

// R42
#[tokio::test]
async fn google_microsoft_and_an_openid_provider() {
    let deployment = Deployment::start().await;
    let report = deployment.examine(&[]).await;
    assert_healthy(&report);
    for check in [
        "environment",
        "clock",
        "database",
        "migrations",
        "broker",
        "providers",
        "discovery",
        "redirect URIs",
        "client credentials",
        "entry point",
        "queues",
        "outbox",
        "failures",
    ] {
        assert!(
            looked(&report).iter().any(|name| name == check),
            "{check}: {report}"
        );
    }
    assert!(report.to_string().contains("Google"), "{report}");
}

// R42
#[tokio::test]
async fn one_provider_alone() {
    for (on, off) in [("GOOGLE", "MICROSOFT"), ("MICROSOFT", "GOOGLE")] {
        let enabled = format!("AUTH_{off}_ENABLED");
        let client = format!("AUTH_{off}_CLIENT_ID");
        let changes = [
            (enabled.as_str(), "false"),
            (client.as_str(), ""),
            ("AUTH_OIDC_DEMO_ISSUER", ""),
            ("AUTH_OIDC_DEMO_CLIENT_ID", ""),
            ("AUTH_OIDC_DEMO_CLIENT_SECRET", ""),
            ("AUTH_OIDC_DEMO_LABEL", ""),
        ];
        let deployment = Deployment::start_with(&changes).await;
        let report = deployment.examine(&[]).await;
        assert_healthy(&report);
        assert!(report.to_string().to_uppercase().contains(on), "{report}");
    }
}

// R42
#[tokio::test]
async fn an_openid_provider_without_google_and_microsoft() {
    let changes = [
        ("AUTH_GOOGLE_ENABLED", "false"),
        ("AUTH_GOOGLE_CLIENT_ID", ""),
        ("AUTH_MICROSOFT_ENABLED", "false"),
        ("AUTH_MICROSOFT_CLIENT_ID", ""),
    ];
    let deployment = Deployment::start_with(&changes).await;
    assert_healthy(&deployment.examine(&[]).await);
}

// R42
#[tokio::test]
async fn identity_alone_without_mail_and_calendar() {
    let changes = [
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "false"),
        ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "false"),
    ];
    let deployment = Deployment::start_with(&changes).await;
    assert_healthy(&deployment.examine(&[]).await);
}

// R42
#[tokio::test]
async fn several_workspaces() {
    let changes = [
        ("IS_MULTIWORKSPACE_ENABLED", "true"),
        ("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example"),
    ];
    let deployment = Deployment::start_with(&changes).await;
    deployment.workspace("Globex", &["globex.example"]).await;
    let report = deployment
        .examine(&["--email", "linus@globex.example"])
        .await;
    assert_healthy(&report);
    let text = report.to_string();
    assert!(
        text.contains("Globex: let in, by the domain of the address"),
        "{report}"
    );
    assert!(text.contains("Acme: refused"), "{report}");
}

// R42
#[tokio::test]
async fn a_list_of_the_deployment() {
    let changes = [("AUTH_ALLOWED_DOMAINS", "acme.example,globex.example")];
    let deployment = Deployment::start_with(&changes).await;
    assert_healthy(&deployment.examine(&["--email", "ada@acme.example"]).await);
}

// R42
#[tokio::test]
async fn certificates_of_the_services() {
    let deployment = Deployment::start().await;
    let certificates = TestCertificates::create();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let report = deployment
        .examine_with(
            &[],
            &[
                (
                    "GRPC_CLIENT_CERT_FILE",
                    &path(&certificates.client.certificate),
                ),
                ("GRPC_CLIENT_KEY_FILE", &path(&certificates.client.key)),
                ("GRPC_CLIENT_CA_FILE", &path(&certificates.authority)),
            ],
        )
        .await;
    assert_healthy(&report);
    assert!(
        looked(&report).contains(&"certificates".to_owned()),
        "{report}"
    );
}

// R42
#[tokio::test]
async fn a_member_with_a_mailbox_and_a_calendar() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    let report = deployment.examine(&["--email", "Ada@acme.example"]).await;
    assert_healthy(&report);
    for line in [
        "google: address verified",
        "Acme: let in, as a member",
        "grant works",
    ] {
        assert!(report.to_string().contains(line), "{line}: {report}");
    }
}

// R42
#[tokio::test]
async fn the_operators_port_and_the_management_api() {
    let deployment = Deployment::start().await;
    let port = format!("auth-svc={}", deployment.operator_port);
    let api = std::env::var(latchkey_testkit::RABBITMQ_API_URL).unwrap();
    let report = deployment
        .examine_with(&["--operator-port", &port], &[("RABBITMQ_API_URL", &api)])
        .await;
    assert_healthy(&report);
    assert!(looked(&report).contains(&"versions".to_owned()), "{report}");
    assert!(
        !report.to_string().contains("RABBITMQ_API_URL is not set"),
        "{report}"
    );
}

// R42: each service has its own environment, and the operator another one.
#[tokio::test]
async fn a_file_of_variables_for_each_service() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    let certificates = TestCertificates::create();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, own: &[(&str, &str)], of: &[&str]| {
        let named = deployment
            .variables
            .iter()
            .filter(|(name, _)| of.iter().any(|beginning| name.starts_with(beginning)));
        let lines = named.map(|(name, value)| format!("{name}={value}\n"));
        let own = own.iter().map(|(name, value)| format!("{name}={value}\n"));
        let path = directory.path().join(name);
        fs::write(&path, lines.chain(own).collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let tls = [
        ("GRPC_TLS_CERT_FILE", path(&certificates.server.certificate)),
        ("GRPC_TLS_KEY_FILE", path(&certificates.server.key)),
        ("GRPC_TLS_CLIENT_CA_FILE", path(&certificates.authority)),
    ];
    let mut tls: Vec<(&str, &str)> = tls
        .iter()
        .map(|(name, path)| (*name, path.as_str()))
        .collect();
    let shared = ["DATABASE_URL", "AMQP_URL"];
    let auth = file("auth.env", &[], &[""]);
    let sync = file("sync.env", &tls, &shared);
    tls.push(("SEALING_PRIVATE_KEYS", "k1:not-read-here"));
    let refresh = file(
        "refresh.env",
        &tls,
        &[
            "DATABASE_URL",
            "AMQP_URL",
            "AUTH_",
            "MESSAGING_",
            "CALENDAR_",
        ],
    );
    let arguments = [
        "--env".to_owned(),
        format!("auth-svc={auth}"),
        "--env".to_owned(),
        format!("sync-svc={sync}"),
        "--env".to_owned(),
        format!("refresh-svc={refresh}"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let nothing: Vec<(&str, &str)> = deployment
        .variables
        .keys()
        .map(|name| (name.as_str(), ""))
        .collect();
    let report = deployment.examine_with(&arguments, &nothing).await;
    assert_healthy(&report);
    assert!(
        looked(&report).contains(&"sealing keys".to_owned()),
        "{report}"
    );
    assert!(
        report.to_string().contains("k1 sealed 1 refresh tokens"),
        "{report}"
    );
    assert_eq!(SEALING_KEY.split_once(':').unwrap().0, "k1");
}

// R42: the container `latchkey` of deploy/compose.yaml, which has PUBLIC_URL for links. It is not
// the configuration of auth-svc, of which every key would be missing.
#[tokio::test]
async fn a_shell_for_the_commands_of_operators() {
    let deployment = Deployment::start().await;
    let others: Vec<(&str, &str)> = deployment
        .variables
        .keys()
        .filter(|name| !["DATABASE_URL", "AMQP_URL", "PUBLIC_URL"].contains(&name.as_str()))
        .map(|name| (name.as_str(), ""))
        .collect();
    let report = deployment.examine_with(&[], &others).await;
    assert_healthy(&report);
    for check in ["database", "migrations", "broker", "queues", "outbox"] {
        assert!(looked(&report).contains(&check.to_owned()), "{report}");
    }
    assert!(
        report
            .to_string()
            .contains("PUBLIC_URL of auth-svc is not set"),
        "{report}"
    );
}

// R42: a shell with the database alone looks at the database, and says what it did not look at.
#[tokio::test]
async fn a_shell_with_the_database_alone() {
    let deployment = Deployment::start().await;
    let others: Vec<(&str, &str)> = deployment
        .variables
        .keys()
        .filter(|name| *name != "DATABASE_URL")
        .map(|name| (name.as_str(), ""))
        .collect();
    let report = deployment.examine_with(&[], &others).await;
    assert_healthy(&report);
    assert_eq!(
        looked(&report),
        [
            "environment",
            "clock",
            "database",
            "migrations",
            "entry point",
            "outbox",
            "failures"
        ],
        "{report}"
    );
    assert!(
        report.to_string().contains("AMQP_URL is not set"),
        "{report}"
    );
}
