//! Certificates (R36): refused callers are audited, and new files are used without a
//! restart.

use std::path::Path;
use std::time::Duration;

use latchkey_demo_provider::Flavour;
use latchkey_testkit::TestCertificates;

use crate::support::{Client, Token, World, endpoint, eventually, identity, tls};

// R36
#[tokio::test]
async fn callers_with_no_a_foreign_or_an_expired_certificate_are_not_let_in_and_audited() {
    let world = World::new().await;
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let stranger = TestCertificates::create();
    let expired = world
        .certificates
        .authority()
        .expired_client("old")
        .unwrap();
    let callers = [
        Client::without_certificate(replica.grpc, &world.certificates),
        Client::of(replica.grpc, &world.certificates, &stranger.client),
        Client::of(replica.grpc, &world.certificates, &expired),
    ];
    for caller in &callers {
        assert!(caller.get(account.id).await.is_err());
    }
    let rows = world.audited(3).await;
    for problem in [
        "no certificate",
        "a certificate of another authority",
        "an expired certificate",
    ] {
        let row = rows
            .iter()
            .find(|row| row.reason.as_deref() == Some(problem))
            .unwrap_or_else(|| panic!("{problem}: {rows:?}"));
        assert_eq!(
            (
                row.method.as_str(),
                row.outcome.as_str(),
                row.caller.as_str()
            ),
            ("TLS handshake", "REFUSED", "")
        );
        assert!(row.peer.is_some() && row.account_id.is_none());
    }
}

// R36
#[tokio::test]
async fn new_certificates_count_for_new_connections_and_the_old_ones_live_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let text = |name: &str| file(name).to_str().unwrap().to_owned();
    let put = |from: &Path, name: &str| {
        std::fs::copy(from, file(name)).unwrap();
    };
    let world = World::new()
        .await
        .with("GRPC_TLS_CERT_FILE", &text("server.pem"))
        .with("GRPC_TLS_KEY_FILE", &text("server.key"))
        .with("GRPC_TLS_CLIENT_CA_FILE", &text("ca.pem"));
    let install = |certificates: &TestCertificates| {
        put(&certificates.server.certificate, "server.pem");
        put(&certificates.server.key, "server.key");
        put(&certificates.authority, "ca.pem");
    };
    install(&world.certificates);
    let replica = world.replica();
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let old = replica.client(&world.certificates).await;
    old.get(account.id).await.unwrap();

    // A key without its certificate is ignored.
    let next = TestCertificates::create();
    put(&next.server.key, "server.key");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let between = replica.client(&world.certificates).await;
    between.get(account.id).await.unwrap();

    install(&next);
    eventually(async || {
        let tls = tls(&next).identity(identity(&next));
        endpoint(replica.grpc, tls).connect().await.ok()
    })
    .await;
    let new = Client::of(replica.grpc, &next, &next.client);
    new.get(account.id).await.unwrap();
    let of_old_authority = Client::of(replica.grpc, &next, &world.certificates.client);
    assert!(of_old_authority.get(account.id).await.is_err());
    old.get(account.id).await.unwrap();
}
