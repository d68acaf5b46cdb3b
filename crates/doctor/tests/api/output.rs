//! What doctor prints.

use latchkey_config::Environment;
use latchkey_domain::SystemClock;

use crate::support::{Deployment, SIGNING_KEY, doctor};

// R42: no secret is printed, whatever is wrong.
#[tokio::test]
async fn no_finding_shows_a_secret() {
    let deployment = Deployment::start().await;
    let secrets = [
        "s3cret-client",
        "s3cret-database",
        "s3cret-broker",
        "s3cret-api",
        "s3cret-key",
        "s3cret-cookie",
    ];
    let (_, broker) = deployment.broker.url().rsplit_once('@').unwrap();
    let report = deployment
        .examine_with(
            &["--email", "ada@acme.example"],
            &[
                ("AUTH_GOOGLE_CLIENT_SECRET", secrets[0]),
                ("AUTH_MICROSOFT_CLIENT_SECRET", secrets[0]),
                ("AUTH_OIDC_DEMO_CLIENT_SECRET", secrets[0]),
                (
                    "DATABASE_URL",
                    "postgres://nobody:s3cret-database@127.0.0.1:1/none",
                ),
                ("AMQP_URL", &format!("amqp://nobody:s3cret-broker@{broker}")),
                ("RABBITMQ_API_URL", "http://nobody:s3cret-api@127.0.0.1:1"),
                ("SEALING_PRIVATE_KEYS", "k9:s3cret-key"),
                ("SEALING_PUBLIC_KEY", "s3cret-key"),
                ("FLOW_COOKIE_KEYS", "k:s3cret-cookie"),
            ],
        )
        .await;
    assert!(!report.is_healthy());
    for text in [report.to_string(), report.to_json().to_string()] {
        for secret in secrets.iter().chain([&SIGNING_KEY]) {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

// R42
#[tokio::test]
async fn every_finding_says_what_was_looked_at_what_to_do_and_where_to_read_on() {
    let deployment = Deployment::start().await;
    let changes = [
        ("AUTH_GOOGLE_CLIENT_SECRET", "wrong"),
        ("AUTH_MICROSOFT_CLIENT_SECRET", "wrong"),
    ];
    let report = deployment.examine_with(&[], &changes).await;
    let json = report.to_json();
    assert_eq!(json["healthy"], false);
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{report}");
    for finding in findings {
        for field in ["code", "check", "problem", "looked_at", "do"] {
            assert!(!finding[field].as_str().unwrap().is_empty(), "{finding}");
        }
        let runbook = finding["runbook"].as_str().unwrap();
        assert!(runbook.starts_with("docs/runbook.md#"), "{finding}");
    }
    let text = report.to_string();
    assert_eq!(text.matches("  do         ").count(), 2, "{text}");
    assert!(text.contains("\nlooked at\n"), "{text}");
}

// R42
#[tokio::test]
async fn an_environment_that_names_nothing_is_no_healthy_one() {
    let clock = std::sync::Arc::new(SystemClock);
    let errors = doctor(&[])
        .examine(&Environment::default(), clock)
        .await
        .unwrap_err();
    assert!(
        errors.to_string().contains("--env auth-svc=auth-svc.env"),
        "{errors}"
    );
}
