//! Mutual TLS (R36).

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use latchkey_client::{BuildError, MutualTls, Reason, TokenClient, TokenError, TokenRequest};
use latchkey_domain::AccountId;
use latchkey_testkit::TestCertificates;

use crate::support::World;

// R36
#[tokio::test]
async fn certificates_may_come_from_memory() {
    let world = World::create().await;
    let read = |path| fs::read(path).unwrap();
    let client = &world.certificates.client;
    let tls = MutualTls::from_pem(
        read(&world.certificates.authority),
        read(&client.certificate),
        read(&client.key),
    )
    .unwrap();
    let client = TokenClient::builder(tls)
        .address(world.service.address())
        .clock(Arc::clone(&world.clock) as _)
        .build()
        .unwrap();
    client.access_token(world.account).await.unwrap();
}

// R36
#[tokio::test]
async fn a_service_of_another_authority_is_an_operator_s_problem() {
    let world = World::create().await;
    let stranger = TestCertificates::create();
    let client = &world.certificates.client;
    let tls = MutualTls::from_files(&stranger.authority, &client.certificate, &client.key);
    let client = TokenClient::builder(tls.unwrap())
        .address(world.service.address())
        .build()
        .unwrap();
    let error = client.access_token(world.account).await.unwrap_err();
    assert!(
        matches!(error, TokenError::OperatorProblem { .. }),
        "{error}"
    );
    assert_eq!(error.reason(), Some(&Reason::TlsRefused));
    assert_eq!(world.service.calls(), 0);
}

// R36
#[tokio::test]
async fn a_service_of_another_name_is_refused() {
    let world = World::create().await;
    let client = world.builder().server_name("elsewhere").build().unwrap();
    let error = client.access_token(world.account).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::TlsRefused), "{error}");
}

// R36
#[tokio::test]
async fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let world = World::create().await;
    let stranger = TestCertificates::create();
    let (certificate, key) = (
        world.certificates.authority.with_file_name("mine.pem"),
        world.certificates.authority.with_file_name("mine.key"),
    );
    fs::copy(&stranger.client.certificate, &certificate).unwrap();
    fs::copy(&stranger.client.key, &key).unwrap();
    let tls = MutualTls::from_files(&world.certificates.authority, &certificate, &key).unwrap();
    let client = TokenClient::builder(tls)
        .address(world.service.address())
        .certificate_reload_interval(Duration::ZERO)
        .clock(Arc::clone(&world.clock) as _)
        .build()
        .unwrap();
    let request = TokenRequest::new(world.account).within(Duration::from_millis(300));
    client.access_token(request).await.unwrap_err();

    fs::copy(&world.certificates.client.certificate, &certificate).unwrap();
    fs::copy(&world.certificates.client.key, &key).unwrap();
    client.access_token(AccountId::generate()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_work_is_refused_when_the_client_is_made() {
    let world = World::create().await;
    let address = |address: &str| TokenClient::builder(world.tls()).address(address).build();
    for wrong in [
        "http://localhost:50051",
        "localhost:50051",
        "https://localhost",
        "",
    ] {
        let error = address(wrong).unwrap_err();
        assert!(
            matches!(error, BuildError::Address { .. }),
            "{wrong}: {error}"
        );
    }
    let none = TokenClient::builder(world.tls()).build().unwrap_err();
    assert!(matches!(none, BuildError::NoAddress));
    let swapped = MutualTls::from_files(
        &world.certificates.authority,
        &world.certificates.client.key,
        &world.certificates.client.certificate,
    );
    let error = swapped.unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::NoPem {
                what: "certificate"
            }
        ),
        "{error}"
    );
    let missing = MutualTls::from_files("nowhere.pem", "nowhere.pem", "nowhere.key");
    assert!(missing.unwrap_err().to_string().contains("nowhere.pem"));
}

// R36
#[tokio::test]
async fn a_client_of_another_authority_is_an_operator_s_problem() {
    let world = World::create().await;
    let stranger = TestCertificates::create();
    let tls = MutualTls::from_files(
        &world.certificates.authority,
        &stranger.client.certificate,
        &stranger.client.key,
    );
    let client = TokenClient::builder(tls.unwrap())
        .address(world.service.address())
        .build()
        .unwrap();
    let request = TokenRequest::new(world.account).within(Duration::from_millis(300));
    let error = client.access_token(request).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::TlsRefused), "{error}");
    assert_eq!(world.service.calls(), 0);
}
