use latchkey_config::Environment;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn definition() -> Definition {
    let environment: Environment = [
        ("AUTH_OIDC_ACME_ISSUER", "https://id.acme.example"),
        ("AUTH_OIDC_ACME_CLIENT_ID", "latchkey"),
    ]
    .into_iter()
    .collect();
    crate::oidc::definitions(&environment).unwrap().remove(0)
}

fn document() -> Value {
    json!({
        "issuer": "https://id.acme.example",
        "authorization_endpoint": "https://id.acme.example/authorize",
        "token_endpoint": "https://id.acme.example/token",
        "jwks_uri": "https://id.acme.example/jwks",
    })
}

fn with(name: &str, value: Value) -> Result<Metadata, ProviderError> {
    let mut document = document();
    document[name] = value;
    Metadata::parse(document.to_string().as_bytes(), &definition())
}

// R3: oidcc-client-test-discovery-issuer-mismatch.
#[test]
fn the_issuer_is_compared_byte_by_byte() {
    assert!(with("issuer", json!("https://id.acme.example")).is_ok());
    for other in [
        "https://id.acme.example/",
        "https://ID.acme.example",
        "https://evil.example",
    ] {
        assert!(with("issuer", json!(other)).is_err(), "{other}");
    }
}

#[test]
fn an_endpoint_in_clear_text_is_refused() {
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        assert!(
            with(name, json!("http://id.acme.example/x")).is_err(),
            "{name}"
        );
    }
    let metadata = with("revocation_endpoint", json!("http://id.acme.example/x")).unwrap();
    assert_eq!(metadata.revocation, None);
}

#[test]
fn a_provider_without_s256_is_refused() {
    assert!(with("code_challenge_methods_supported", json!(["plain"])).is_err());
}

fn with_secret(name: &str, value: Value) -> Result<Metadata, ProviderError> {
    let mut definition = definition();
    definition.client_secret = Some("s3cret".to_owned().into());
    let mut document = document();
    document[name] = value;
    Metadata::parse(document.to_string().as_bytes(), &definition)
}

#[test]
fn the_client_authenticates_as_the_provider_announces() {
    let proof = |methods: Value| {
        with_secret("token_endpoint_auth_methods_supported", methods)
            .unwrap()
            .client_authentication
    };
    for basic in [
        json!([]),
        json!(null),
        json!(["client_secret_post", "client_secret_basic"]),
        json!("client_secret_basic"),
    ] {
        let proof = proof(basic.clone());
        assert!(matches!(proof, ClientAuthentication::Basic), "{basic}");
    }
    let post = proof(json!(["private_key_jwt", "client_secret_post"]));
    assert!(matches!(post, ClientAuthentication::Post));
}

#[test]
fn methods_that_use_no_secret_are_named() {
    let methods = json!(["tls_client_auth", "private_key_jwt"]);
    let error = with_secret("token_endpoint_auth_methods_supported", methods.clone());
    let error = error.unwrap_err();
    assert!(matches!(error, ProviderError::Unsupported(_)));
    let text = error.to_string();
    assert!(text.contains("tls_client_auth, private_key_jwt"), "{text}");
    // Certificates alone are mutual TLS, which a public client cannot do either.
    let certificates = json!(["tls_client_auth", "self_signed_tls_client_auth"]);
    for read in [
        with(
            "token_endpoint_auth_methods_supported",
            certificates.clone(),
        ),
        with_secret("token_endpoint_auth_methods_supported", certificates),
    ] {
        let error = read.unwrap_err();
        assert!(matches!(error, ProviderError::Unsupported(_)));
        assert!(
            error.to_string().contains("mutual TLS (RFC 8705"),
            "{error}"
        );
    }
    // What a provider supports it need not require (RFC 8705 section 3.3, RFC 9449 section 5.1).
    assert!(with("tls_client_certificate_bound_access_tokens", json!(true)).is_ok());
    assert!(with("dpop_signing_alg_values_supported", json!(["ES256"])).is_ok());
    // A public client has no secret to send.
    assert!(with("token_endpoint_auth_methods_supported", methods).is_ok());
}

#[test]
fn optional_lists_and_switches_may_be_null_or_a_text() {
    for (name, value) in [
        ("revocation_endpoint", json!(null)),
        ("userinfo_endpoint", json!(7)),
        ("id_token_signing_alg_values_supported", json!(null)),
        ("userinfo_signing_alg_values_supported", json!(null)),
        ("token_endpoint_auth_methods_supported", json!(null)),
        ("code_challenge_methods_supported", json!(null)),
        ("code_challenge_methods_supported", json!("plain S256")),
        ("scopes_supported", json!({})),
        ("prompt_values_supported", json!(null)),
        (
            "authorization_response_iss_parameter_supported",
            json!(null),
        ),
        ("require_pushed_authorization_requests", json!("false")),
    ] {
        let read = with(name, value.clone());
        assert!(read.is_ok(), "{name} {value} {read:?}");
    }
    let of = |name: &str, value: Value| with(name, value).unwrap();
    let iss = "authorization_response_iss_parameter_supported";
    assert!(of(iss, json!("True")).response_iss);
    let scopes = of("scopes_supported", json!("openid offline_access")).scopes;
    assert_eq!(scopes, ["openid", "offline_access"]);
    let marked = format!("\u{feff}{}", document());
    assert!(Metadata::parse(marked.as_bytes(), &definition()).is_ok());
}

#[test]
fn a_requirement_that_is_not_supported_is_named() {
    for (name, value, word) in [
        ("require_signed_request_object", json!("true"), "RFC 9101"),
        (
            "id_token_signing_alg_values_supported",
            json!(["ES512", "Ed448"]),
            "ES512, Ed448",
        ),
    ] {
        let error = with(name, value).unwrap_err();
        assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_slash_at_the_end_of_the_issuer_is_named() {
    let text = |issuer: &str| with("issuer", json!(issuer)).unwrap_err().to_string();
    let slash = text("https://id.acme.example/");
    assert!(slash.contains("slash") && slash.contains("\"https://id.acme.example/\""));
    assert!(!text("https://evil.example").contains("slash"));
}

proptest! {
    #[test]
    fn no_document_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Metadata::parse(&body, &definition());
    }
}
