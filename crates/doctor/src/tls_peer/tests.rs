use std::net::{Ipv4Addr, TcpListener as StdListener};

use latchkey_domain::{Clock as _, SystemClock};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use time::macros::datetime;
use time::{Duration as Time, OffsetDateTime};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificate::{Life, left};

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn create() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn trusted(&self) -> RootCertStore {
        let mut authorities = RootCertStore::empty();
        authorities.add(self.certificate.clone()).unwrap();
        authorities
    }

    /// A server certificate for `name`, which ends at this time, with its key.
    fn issue(&self, name: &str, ends: OffsetDateTime) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = datetime!(2001-01-01 00:00 UTC);
        params.not_after = ends;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (certificate.der().clone(), key)
    }
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn next_month() -> OffsetDateTime {
    SystemClock.now() + Time::days(30) + Time::hours(1)
}

/// Serves TLS with this certificate to one client, and returns its URL.
async fn serve((certificate, key): Identity) -> Url {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    accept(config).await
}

async fn accept(config: ServerConfig) -> Url {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // The client ends the connection after the handshake.
        let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    });
    format!("https://localhost:{port}").parse().unwrap()
}

#[tokio::test]
async fn a_healthy_certificate_has_days_left_and_no_refusal() {
    let authority = Authority::create();
    let url = serve(authority.issue("localhost", next_month())).await;
    let peer = look(&url, Some(authority.trusted())).await.unwrap();
    let now = SystemClock.now();
    assert_eq!(peer.refusal, None);
    assert_eq!(Life::of(&peer.validity, now), Life::Valid);
    assert_eq!(left(&peer.validity, now), "30 days left");
}

#[tokio::test]
async fn an_expired_certificate_is_seen_and_its_age_is_no_second_fault() {
    let authority = Authority::create();
    let ends = datetime!(2001-02-01 00:00 UTC);
    let url = serve(authority.issue("localhost", ends)).await;
    let peer = look(&url, Some(authority.trusted())).await.unwrap();
    assert_eq!(peer.refusal, None);
    assert_eq!(peer.validity.not_after, ends);
    assert_eq!(Life::of(&peer.validity, SystemClock.now()), Life::Expired);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_apart() {
    let authority = Authority::create();
    let url = serve(authority.issue("other.example", next_month())).await;
    let peer = look(&url, Some(authority.trusted())).await.unwrap();
    assert_eq!(peer.refusal, Some(Refusal::OtherName));
    assert_eq!(Life::of(&peer.validity, SystemClock.now()), Life::Valid);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_told_apart() {
    let (authority, other) = (Authority::create(), Authority::create());
    let url = serve(authority.issue("localhost", next_month())).await;
    let peer = look(&url, Some(other.trusted())).await.unwrap();
    assert_eq!(peer.refusal, Some(Refusal::UnknownAuthority));
    // Without authorities nothing is said about the issuer.
    let url = serve(authority.issue("localhost", next_month())).await;
    assert_eq!(look(&url, None).await.unwrap().refusal, None);
}

// With TLS 1.2 the handshake of such a server fails, after it has presented its certificate.
#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_is_seen() {
    let authority = Authority::create();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (certificate, key) = authority.issue("localhost", next_month());
    let clients = Arc::new(authority.trusted());
    let verifier = WebPkiClientVerifier::builder_with_provider(clients, Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let url = accept(config).await;
    let peer = look(&url, Some(authority.trusted())).await.unwrap();
    assert_eq!(peer.refusal, None);
}

#[tokio::test]
async fn a_server_without_tls_and_no_server_are_errors() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 \r\n\r\n").await.unwrap();
    });
    let url = format!("https://localhost:{port}").parse().unwrap();
    look(&url, None).await.unwrap_err();

    let free = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("https://localhost:{port}").parse().unwrap();
    let error = look(&url, None).await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn the_port_of_a_broker_is_that_of_amqps() {
    let port_of = |url: &str| port(&url.parse().unwrap());
    assert_eq!(port_of("amqps://broker.example"), Some(5671));
    assert_eq!(port_of("amqps://broker.example:5673"), Some(5673));
    assert_eq!(port_of("https://auth.example"), Some(443));
}
