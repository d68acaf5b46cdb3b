//! TLS and the public URL.

use latchkey_demo_provider::{Config, DemoError, DemoProvider, Endpoint, Fault, Flavour, TlsFiles};
use latchkey_testkit::TestCertificates;
use serde_json::Value;
use url::Url;

use super::{Client, claims, client_of, parameter};

fn tls(certificates: &TestCertificates) -> TlsFiles {
    TlsFiles {
        certificate: certificates.server.certificate.clone(),
        key: certificates.server.key.clone(),
    }
}

/// A client of a provider with TLS, which trusts only the authority of the tests.
async fn tls_client(certificates: &TestCertificates) -> Client {
    let authority = std::fs::read(&certificates.authority).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap();
    let config = Config {
        tls: Some(tls(certificates)),
        ..Config::default()
    };
    client_of(config, http, Flavour::Google).await
}

#[tokio::test]
async fn with_a_certificate_a_sign_in_works_over_tls() {
    let client = tls_client(&TestCertificates::create()).await;
    let issuer = client.demo.issuer(Flavour::Google);
    assert_eq!(issuer, format!("https://{}/google", client.demo.address()));
    let page = client
        .http
        .post(client.authorize_url(&[("access_type", "offline")]))
        .form(&[("person", "ada")])
        .send()
        .await
        .unwrap();
    let callback = page.headers()["location"].to_str().unwrap();
    let code = parameter(&Url::parse(callback).unwrap(), "code").unwrap();
    let (status, tokens) = client.exchange(&code).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(claims(&tokens)["iss"], issuer);
    assert_eq!(client.refresh(&tokens["refresh_token"]).await.0, 200);
}

#[tokio::test]
async fn a_reset_closes_a_tls_connection_without_a_response() {
    let client = tls_client(&TestCertificates::create()).await;
    client.demo.inject(Fault::on(Endpoint::Token).reset());
    let request = client.http.post(&client.token);
    let answer = request
        .form(&[("grant_type", "refresh_token")])
        .send()
        .await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(client.demo.count(Flavour::Google, Endpoint::Token), 1);
}

#[tokio::test]
async fn issuers_and_endpoints_have_the_public_url() {
    let config = Config {
        public_url: Some(Url::parse("https://demo-provider:8443").unwrap()),
        ..Config::default()
    };
    let demo = DemoProvider::start(config).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["google", "microsoft/common/v2.0", "oidc"] {
        let url = format!(
            "http://{}/{path}/.well-known/openid-configuration",
            demo.address()
        );
        let document: Value = http.get(url).send().await.unwrap().json().await.unwrap();
        let fields = document.as_object().unwrap();
        for (name, value) in fields {
            if name == "issuer" || name == "jwks_uri" || name.ends_with("_endpoint") {
                let value = value.as_str().unwrap();
                assert!(value.starts_with("https://demo-provider:8443/"), "{value}");
            }
        }
    }
    assert_eq!(
        demo.environment()["AUTH_GOOGLE_ISSUER"],
        "https://demo-provider:8443/google"
    );
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let certificates = TestCertificates::create();
    let start = |files: TlsFiles| {
        DemoProvider::start(Config {
            tls: Some(files),
            ..Config::default()
        })
    };
    let expect = |started: Result<DemoProvider, DemoError>, path: &std::path::Path| {
        let error = started.unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    };
    let mut files = tls(&certificates);
    files.key = "/does/not/exist.key".into();
    expect(start(files.clone()).await, &files.key);
    // A key of another certificate.
    files.key = certificates.client.key.clone();
    expect(start(files.clone()).await, &files.certificate);
}
