//! Twelve broken set-ups: doctor names the cause of each in its first line, and what to do.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::FieldTable;
use latchkey_domain::{Clock, SystemClock};
use latchkey_messaging::broker::BrokerConfig;
use latchkey_testkit::{KeyPairFiles, Role, TestCertificates, eventually, publish_confirmed};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Deployment, EVERY_SCOPE, assert_cause, codes};

// R42
#[tokio::test]
async fn a_wrong_redirect_uri_is_named_with_the_place_to_register_it() {
    let deployment = Deployment::start().await;
    let wrong = "https://auth.test.example/auth/google/wrong";
    let report = deployment
        .examine_with(&[], &[("AUTH_GOOGLE_CALLBACK_URL", wrong)])
        .await;
    let remedy = "register exactly this URI (Google Cloud console";
    assert_cause(
        &report,
        "redirect_uri",
        &["Google", wrong, "redirect_uri_mismatch"],
        remedy,
    );
    assert!(
        report.to_string().contains("AUTH_GOOGLE_CALLBACK_URL"),
        "{report}"
    );
}

// R42
#[tokio::test]
async fn a_wrong_client_secret_is_named_and_not_shown() {
    let deployment = Deployment::start().await;
    let report = deployment
        .examine_with(&[], &[("AUTH_GOOGLE_CLIENT_SECRET", "a-wr0ng-secret")])
        .await;
    let remedy = "has the secret expired";
    assert_cause(
        &report,
        "client_credentials",
        &["Google", "client secret", "invalid_client"],
        remedy,
    );
    assert_eq!(codes(&report), ["client_credentials"], "{report}");
    assert!(!report.to_string().contains("a-wr0ng-secret"), "{report}");
}

// R42
#[tokio::test]
async fn a_client_id_that_the_provider_does_not_know_is_named() {
    let deployment = Deployment::start().await;
    let report = deployment
        .examine_with(&[], &[("AUTH_GOOGLE_CLIENT_ID", "another-client")])
        .await;
    let remedy = "compare client id";
    assert_cause(
        &report,
        "authorization_refused",
        &["Google", "another-client"],
        remedy,
    );
}

// R42
#[tokio::test]
async fn a_provider_that_is_switched_off_is_named_with_its_switch() {
    let changes = [("AUTH_GOOGLE_ENABLED", "false")];
    let deployment = Deployment::start_with(&changes).await;
    let report = deployment.examine(&[]).await;
    let remedy = "set AUTH_GOOGLE_ENABLED=true";
    assert_cause(
        &report,
        "provider_disabled",
        &["google", "switched off"],
        remedy,
    );
    assert_eq!(codes(&report), ["provider_disabled"], "{report}");
}

// R42
#[tokio::test]
async fn a_provider_that_only_the_running_service_has_switched_off_is_named() {
    let changes = [("AUTH_GOOGLE_ENABLED", "false")];
    let deployment = Deployment::start_with(&changes).await;
    let report = deployment
        .examine_with(&[], &[("AUTH_GOOGLE_ENABLED", "true")])
        .await;
    let remedy = "environment of the running auth-svc";
    assert_cause(&report, "not_offered", &["Google", "404"], remedy);
}

// R42: what needs the database is no further finding.
#[tokio::test]
async fn a_database_that_cannot_be_reached_is_the_only_finding() {
    let deployment = Deployment::start().await;
    let nowhere = "postgres://nobody:s3cret@127.0.0.1:1/none";
    let report = deployment
        .examine_with(&[], &[("DATABASE_URL", nowhere)])
        .await;
    let first_line = [
        "database cannot be reached",
        "nobody@127.0.0.1:1/none",
        "refused",
    ];
    assert_cause(&report, "database", &first_line, "start the server");
    assert_eq!(codes(&report), ["database"], "{report}");
    assert!(report.to_string().contains("needs database"), "{report}");
}

// R42
#[tokio::test]
async fn a_role_that_the_database_refuses_is_told_apart_from_a_server_that_is_down() {
    let deployment = Deployment::start().await;
    let url = deployment.database.url(Role::Operator);
    let wrong = url.replacen("operator_person", "nobody_here", 1);
    let report = deployment
        .examine_with(&[], &[("DATABASE_URL", &wrong)])
        .await;
    let remedy = "compare user and password";
    assert_cause(
        &report,
        "database",
        &["refuses the role or its password"],
        remedy,
    );
}

// R42
#[tokio::test]
async fn a_missing_migration_is_named() {
    let deployment = Deployment::start().await;
    let last = latchkey_migrations::MIGRATOR.iter().last().unwrap();
    let forget = format!(
        "DELETE FROM _sqlx_migrations WHERE version = {}",
        last.version
    );
    deployment.sql(&forget).await;
    let report = deployment.examine(&[]).await;
    let version = last.version.to_string();
    let first_line = ["1 migration is not applied", &version, &last.description];
    assert_cause(
        &report,
        "migration_missing",
        &first_line,
        "latchkey-migrate",
    );
    assert_eq!(codes(&report), ["migration_missing"], "{report}");
}

// R42
#[tokio::test]
async fn wrong_credentials_of_the_broker_are_named() {
    let deployment = Deployment::start().await;
    let (before, after) = deployment.broker.url().rsplit_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    let wrong = format!("{user}:a-wr0ng-password@{after}");
    let report = deployment.examine_with(&[], &[("AMQP_URL", &wrong)]).await;
    let remedy = "rabbitmqctl authenticate_user";
    assert_cause(
        &report,
        "broker_login",
        &["broker refuses the user or the password"],
        remedy,
    );
    assert_eq!(codes(&report), ["broker_login"], "{report}");
    assert!(!report.to_string().contains("a-wr0ng-password"), "{report}");
}

// R42
#[tokio::test]
async fn a_virtual_host_that_does_not_exist_is_named() {
    let deployment = Deployment::start().await;
    let (before, _) = deployment.broker.url().rsplit_once('/').unwrap();
    let wrong = format!("{before}/no-such-host");
    let report = deployment.examine_with(&[], &[("AMQP_URL", &wrong)]).await;
    assert_cause(
        &report,
        "broker_virtual_host",
        &["virtual host", "no-such-host"],
        "create the virtual host",
    );
}

async fn unbind(deployment: &Deployment) -> lapin::Connection {
    let config = BrokerConfig::parse(deployment.broker.url(), "test").unwrap();
    let connection = config.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_unbind(
            "sync-svc.events".into(),
            "latchkey.events".into(),
            "user.authenticated.v1".into(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    connection
}

// R42
#[tokio::test]
async fn a_queue_that_is_not_bound_is_named_by_the_management_api() {
    let deployment = Deployment::start().await;
    unbind(&deployment).await;
    let api = std::env::var(latchkey_testkit::RABBITMQ_API_URL).unwrap();
    let report = deployment
        .examine_with(&[], &[("RABBITMQ_API_URL", &api)])
        .await;
    let first_line = [
        "sync-svc.events",
        "is not bound to latchkey.events",
        "user.authenticated.v1",
    ];
    assert_cause(&report, "queue_not_bound", &first_line, "start sync-svc");
    assert_eq!(codes(&report), ["queue_not_bound"], "{report}");
}

// R42: the protocol shows no bindings; an event without a queue does.
#[tokio::test]
async fn a_queue_that_is_not_bound_is_named_by_the_event_that_it_missed() {
    let deployment = Deployment::start().await;
    let connection = unbind(&deployment).await;
    let channel = connection.create_channel().await.unwrap();
    let (exchange, key) = ("latchkey.events", "user.authenticated.v1");
    publish_confirmed(&channel, exchange, key, BasicProperties::default(), b"").await;
    let mut report = deployment.examine(&[]).await;
    // The queue counts a message shortly after the confirmation.
    eventually("the event is unrouted", async || {
        report = deployment.examine(&[]).await;
        !report.is_healthy()
    })
    .await;
    let first_line = ["a queue is not bound", "1 event", key];
    assert_cause(&report, "unrouted", &first_line, "start sync-svc");
}

// R42
#[tokio::test]
async fn a_certificate_that_has_expired_is_named() {
    let deployment = Deployment::start().await;
    let certificates = TestCertificates::create();
    let expired = certificates.authority().expired_client("caller").unwrap();
    let file = expired.certificate.to_str().unwrap();
    let report = deployment
        .examine_with(&[], &[("GRPC_CLIENT_CERT_FILE", file)])
        .await;
    let first_line = ["certificate has expired", "GRPC_CLIENT_CERT", "CN=caller"];
    assert_cause(&report, "certificate", &first_line, "replace the file");
    assert_eq!(codes(&report), ["certificate"], "{report}");
}

// R42: auth-svc calls refresh-svc, and trusts another authority than that of its certificate.
#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_trusted_is_named_with_the_variable() {
    let deployment = Deployment::start().await;
    let (own, other) = (TestCertificates::create(), TestCertificates::create());
    let url = serve_tls(&other.server).await;
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let report = deployment
        .examine_with(
            &[],
            &[
                ("TOKEN_GRPC_URL", url.as_str()),
                ("GRPC_CLIENT_CERT_FILE", &path(&own.client.certificate)),
                ("GRPC_CLIENT_KEY_FILE", &path(&own.client.key)),
                ("GRPC_CLIENT_CA_FILE", &path(&own.authority)),
            ],
        )
        .await;
    let first_line = [url.as_str(), "authority that its clients do not trust"];
    let remedy = "in GRPC_CLIENT_CA";
    assert_cause(&report, "certificate_not_accepted", &first_line, remedy);
    assert_eq!(codes(&report), ["certificate_not_accepted"], "{report}");
}

/// Serves TLS to the clients of a test, and returns the URL.
async fn serve_tls(files: &KeyPairFiles) -> String {
    let certificates = CertificateDer::pem_file_iter(&files.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates.map(Result::unwrap).collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client ends the connection after the handshake.
            let _ = acceptor.accept(stream).await;
        }
    });
    format!("https://localhost:{port}/")
}

// R42 R9: the front end hangs on its welcome page.
#[tokio::test]
async fn a_token_pair_that_the_front_end_cannot_read_is_named() {
    let changes = [("TOKEN_PAIR_COOKIE_ENABLED", "true")];
    let deployment = Deployment::start_with(&changes).await;
    let report = deployment.examine(&[]).await;
    let first_line = [
        "https://app.test.example/",
        "cannot read the cookie tokenPair",
    ];
    assert_cause(&report, "token_pair_hidden", &first_line, "one-time code");
    assert_eq!(codes(&report), ["token_pair_hidden"], "{report}");
}

/// A clock that is wrong.
#[derive(Debug)]
struct WrongClock(Duration);

impl Clock for WrongClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + self.0
    }
}

// R42
#[tokio::test]
async fn a_clock_that_is_off_by_five_minutes_is_named() {
    let deployment = Deployment::start().await;
    let clock = Arc::new(WrongClock(Duration::from_mins(5)));
    let report = deployment.examine_at(&[], &[], clock).await;
    let first_line = ["the clock of this machine is", "ahead"];
    assert_cause(&report, "own_clock", &first_line, "NTP");
    assert_eq!(codes(&report), ["own_clock"], "{report}");
}

// R42 R7
#[tokio::test]
async fn a_domain_that_is_not_allowed_is_named_with_the_list_that_refuses() {
    let deployment = Deployment::start().await;
    let report = deployment
        .examine(&["--email", "linus@globex.example"])
        .await;
    let first_line = [
        "linus@globex.example",
        "may not sign in to Acme",
        "expected acme.example",
    ];
    let remedy = "workspace approve-domain globex.example";
    assert_cause(&report, "not_admitted", &first_line, remedy);

    let report = deployment
        .examine_with(
            &["--email", "ada@acme.example"],
            &[("AUTH_ALLOWED_DOMAINS", "globex.example")],
        )
        .await;
    let first_line = ["ada@acme.example", "AUTH_ALLOWED_DOMAINS refuses"];
    assert_cause(
        &report,
        "not_admitted",
        &first_line,
        "add the domain to AUTH_ALLOWED_DOMAINS",
    );
}

// R42 R23
#[tokio::test]
async fn a_calendar_scope_that_was_not_granted_is_named() {
    let deployment = Deployment::start().await;
    deployment
        .person("ada@acme.example", &EVERY_SCOPE[..1])
        .await;
    deployment
        .sql(
            "UPDATE sync.channel SET sync_status = 'FAILED_INSUFFICIENT_PERMISSIONS',
                                     sync_stage = 'FAILED'
             WHERE kind = 'CALENDAR'",
        )
        .await;
    let report = deployment.examine(&["--email", "ada@acme.example"]).await;
    let first_line = ["ada@acme.example did not grant the calendar scope"];
    assert_cause(
        &report,
        "scope_not_granted",
        &first_line,
        "signs in again and ticks the calendar",
    );
    assert_eq!(codes(&report), ["scope_not_granted"], "{report}");
}

// R42
#[tokio::test]
async fn a_sealing_key_that_is_missing_is_named() {
    let deployment = Deployment::start().await;
    let report = deployment
        .examine_with(&[], &[("SEALING_PUBLIC_KEY", "")])
        .await;
    let first_line = ["auth-svc", "sealing key", "SEALING_PUBLIC_KEY is missing"];
    assert_cause(
        &report,
        "sealing_key_missing",
        &first_line,
        "from your backup of the keys",
    );
    assert_eq!(codes(&report), ["sealing_key_missing"], "{report}");
}

// R42 R35: grants are sealed to a key that refresh-svc does not have.
#[tokio::test]
async fn a_sealing_key_that_is_lost_is_named_by_the_grants_that_need_it() {
    let deployment = Deployment::start().await;
    deployment.person("ada@acme.example", &EVERY_SCOPE).await;
    let report = deployment
        .examine_with(&[], &[("SEALING_PRIVATE_KEYS", "k2:s3cret-key")])
        .await;
    let first_line = ["sealing key k1 is missing", "1 refresh token"];
    let remedy = "add the key k1 to SEALING_PRIVATE_KEYS";
    assert_cause(&report, "sealing_key_lost", &first_line, remedy);
    assert!(!report.to_string().contains("s3cret"), "{report}");
}

// R39: each check has a deadline, also if the other side accepts and is silent.
#[tokio::test]
async fn a_database_and_a_broker_that_do_not_answer_are_given_up() {
    let deployment = Deployment::start().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let database = format!("postgres://nobody@{address}/none");
    let broker = format!("amqp://nobody:s3cret@{address}/%2f");
    let changes = [
        ("DATABASE_URL", database.as_str()),
        ("AMQP_URL", broker.as_str()),
    ];
    let report = deployment.examine_with(&[], &changes).await;
    assert_cause(
        &report,
        "database",
        &["does not answer"],
        "start the server",
    );
    assert_eq!(codes(&report), ["database", "broker"], "{report}");
}
