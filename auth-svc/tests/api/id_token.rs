use latchkey_demo_provider::{Decision, Flavour, Misbehaviour as M};

use crate::helpers::{APP, TestApp, Written};

const PATHS: [(&str, Flavour); 3] = [
    ("/auth/google", Flavour::Google),
    ("/auth/microsoft", Flavour::Microsoft),
    ("/auth/oidc/demo", Flavour::Oidc),
];

async fn refused(app: &TestApp, path: &str, how: M) -> (u16, String) {
    let mut browser = app.browser().json();
    let answer = app.round(&mut browser, path, &Decision::allow("ada")).await;
    assert!(browser.session().is_none(), "{path} {how:?}");
    (answer.status, answer.code())
}

// PEERS, relying-party checks 2, 6 and 7
#[tokio::test]
async fn an_id_token_that_proves_nothing_signs_nobody_in_and_writes_nothing() {
    let app = TestApp::start().await;
    for (path, flavour) in PATHS {
        for how in [
            M::WrongAudience,
            M::ExtraAudience,
            M::NoAudience,
            M::WrongAuthorizedParty,
            M::WrongNonce,
            M::NoNonce,
            M::WrongIssuer,
            M::AlgNone,
            M::Hs256,
            M::BadSignature,
            M::UnknownKey,
            M::OtherKeySameKid,
            M::JwkInHeader,
            M::CriticalExtension,
            M::Expired,
            M::NoExpiry,
            M::IssuedInFuture,
            M::NoIssuedAt,
            M::NoSubject,
            M::WrongAccessTokenHash,
            M::NoIdToken,
        ] {
            app.demo.misbehave(flavour, Some(how));
            let (status, code) = refused(&app, path, how).await;
            assert_eq!(
                (status, code.as_str()),
                (400, "identity_not_proven"),
                "{path} {how:?}"
            );
        }
        app.demo.misbehave(flavour, None);
    }
    assert_eq!(app.written().await, Written::NOTHING);
}

// R7
#[tokio::test]
async fn an_address_that_is_not_verified_is_told_so() {
    let app = TestApp::start().await;
    for (path, flavour) in PATHS {
        app.demo.misbehave(flavour, Some(M::UnverifiedEmail));
        let (status, code) = refused(&app, path, M::UnverifiedEmail).await;
        assert_eq!(
            (status, code.as_str()),
            (403, "address_not_verified"),
            "{path}"
        );
    }
    assert_eq!(app.written().await, Written::NOTHING);
}

// PEERS, relying-party check 4 (RFC 9207)
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_also_when_it_tells_an_error() {
    let app = TestApp::start().await;
    for (path, flavour) in [PATHS[0], PATHS[2]] {
        for how in [M::WrongResponseIssuer, M::NoResponseIssuer] {
            app.demo.misbehave(flavour, Some(how));
            for decision in [Decision::allow("ada"), Decision::deny()] {
                let mut browser = app.browser().json();
                let answer = app.round(&mut browser, path, &decision).await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "issuer_mismatch"),
                    "{path} {how:?}"
                );
            }
        }
        app.demo.misbehave(flavour, None);
    }
    assert_eq!(app.written().await, Written::NOTHING);
}

// R2
#[tokio::test]
async fn a_tenant_that_is_not_listed_is_refused() {
    let acme = latchkey_demo_provider::ACME_TENANT;
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_ALLOWED_TENANTS", acme)]).await;
    let mut browser = app.browser().json();
    let answer = app
        .round(&mut browser, "/auth/microsoft", &Decision::allow("linus"))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "tenant_not_allowed")
    );
    assert_eq!(app.written().await, Written::NOTHING);
    let answer = app
        .round(
            &mut app.browser(),
            "/auth/microsoft",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(answer.location(), APP);
}

// PEERS, relying-party check 8
#[tokio::test]
async fn signing_keys_rotate_without_losing_a_sign_in() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    app.demo.rotate_keys(Flavour::Google, false).unwrap();
    app.signed_in("grace").await;
}
