//! RP2, RP7: one test for each way in which an ID token can be invalid, at every kind of provider.
//! The names are those of the OpenID Foundation's client modules (`oidcc-client-test-…`).

use latchkey_demo_provider::{Decision, Flavour, Misbehaviour as M};

use crate::support::{APP, TestApp, assert_refused};

const ALL: [Flavour; 3] = [Flavour::Google, Flavour::Microsoft, Flavour::Oidc];

/// Defines tests that expect the error `identity_not_proven`.
macro_rules! identity_not_proven {
    ($($(#[$doc:meta])* $name:ident: $how:expr;)*) => {$(
        $(#[$doc])*
        #[tokio::test]
        async fn $name() {
            assert_refused(&ALL, $how, 400, "identity_not_proven").await;
        }
    )*};
}

identity_not_proven! {
    /// oidcc-client-test-nonce-invalid
    nonce_invalid: M::WrongNonce;
    /// Core 3.1.3.7 step 11: a nonce was sent, so the ID token has to contain it.
    nonce_missing: M::NoNonce;
    /// oidcc-client-test-invalid-iss
    invalid_iss: M::WrongIssuer;
    /// oidcc-client-test-invalid-aud
    invalid_aud: M::WrongAudience;
    /// oidcc-client-test-missing-aud
    missing_aud: M::NoAudience;
    /// Core 3.1.3.7 step 3: audiences that the client does not trust.
    several_audiences: M::ExtraAudience;
    /// Core 3.1.3.7 step 5.
    azp_of_another_client: M::WrongAuthorizedParty;
    /// oidcc-client-test-missing-sub
    missing_sub: M::NoSubject;
    /// oidcc-client-test-missing-iat
    missing_iat: M::NoIssuedAt;
    /// Core 3.1.3.7 step 9.
    missing_exp: M::NoExpiry;
    /// Core 3.1.3.7 step 9.
    expired: M::Expired;
    /// Core 3.1.3.7 step 10.
    issued_in_the_future: M::IssuedInFuture;
    /// oidcc-client-test-idtoken-sig-none
    sig_none: M::AlgNone;
    /// oidcc-client-test-invalid-sig-rs256 (Google, Microsoft) and -es256 (OpenID)
    invalid_sig_rs256_and_es256: M::BadSignature;
    /// oidcc-client-test-invalid-sig-hs256, and HMAC with the public key as secret.
    hs256_with_the_public_key: M::Hs256;
    /// RFC 8725 section 3.1: the published key with an algorithm that is not pinned, and
    /// a key under the algorithm of another key.
    another_algorithm_with_the_published_key: M::OtherAlgorithm;
    /// A key of the attacker under the `kid` of a published key.
    another_key_under_a_known_kid: M::OtherKeySameKid;
    /// A key that is not published.
    unknown_kid: M::UnknownKey;
    /// RFC 8725 section 3.10: a key in the header of the token.
    jwk_in_the_header: M::JwkInHeader;
    /// RFC 8725 section 3.10: a key URL in the header of the token.
    jku_in_the_header: M::JkuInHeader;
    /// RFC 8725 section 3.10: a certificate URL in the header of the token.
    x5u_in_the_header: M::X5uInHeader;
    /// RFC 7515 section 4.1.11.
    unknown_critical_extension: M::CriticalExtension;
    /// oidcc-client-test-invalid-athash
    at_hash_of_another_token: M::WrongAccessTokenHash;
    /// Core 3.1.3.3: the token response has no ID token.
    no_id_token: M::NoIdToken;
}

/// oidcc-client-test-userinfo-invalid-sub
#[tokio::test]
async fn userinfo_invalid_sub() {
    assert_refused(
        &[Flavour::Oidc],
        M::OtherUserinfoSubject,
        400,
        "identity_not_proven",
    )
    .await;
}

/// oidcc-client-test-discovery-issuer-mismatch: the sign-in does not even start.
#[tokio::test]
async fn discovery_issuer_mismatch() {
    let app = TestApp::start().await;
    for (path, flavour) in crate::support::PROVIDERS {
        app.demo.misbehave(flavour, Some(M::WrongDiscoveryIssuer));
        let response = app.browser().json().get(path).await;
        assert!(response.status >= 500, "{path}: {}", response.status);
        assert!(response.set_cookies().is_empty(), "{path}");
    }
}

/// Without a `kid`, a single published key verifies the token
/// (oidcc-client-test-kid-absent-single-jwks). With several keys the token is refused
/// (oidcc-client-test-kid-absent-multiple-jwks).
#[tokio::test]
async fn kid_absent_single_and_multiple() {
    let app = TestApp::start().await;
    app.demo.misbehave(Flavour::Google, Some(M::NoKid));
    let first = app
        .run_flow(
            &mut app.browser(),
            "/auth/google?prompt=consent",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(first.location(), APP);
    let app = TestApp::start().await;
    app.demo.rotate_keys(Flavour::Google, true).unwrap();
    app.demo.misbehave(Flavour::Google, Some(M::NoKid));
    let several = app
        .run_flow(
            &mut app.browser().json(),
            "/auth/google",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(several.code(), "identity_not_proven");
}
