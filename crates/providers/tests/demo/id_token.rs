//! ID tokens that must be refused, after the list of the OpenID Foundation's
//! `oidcc-client-test-*` modules.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour, Misbehaviour as M};
use latchkey_providers::{EmailStatus, IdTokenError as E, Mismatch, ProviderError, Unverified};

use serde_json::{Value, json};

use crate::support::{NONCE, world};

const PROVIDERS: [(&str, Flavour); 3] = [
    ("google", Flavour::Google),
    ("microsoft", Flavour::Microsoft),
    ("demo", Flavour::Oidc),
];

/// Stands for any mismatch: other tests check its text.
fn both() -> Mismatch {
    Mismatch::new("", None)
}

fn kind(error: &E) -> Discriminant<E> {
    discriminant(error)
}

// Relying-party checks 2, 4, 6, 7: each a negative test, at each provider.
#[tokio::test]
async fn every_bad_id_token_is_refused() {
    let world = world(&[]).await;
    for (name, flavour) in PROVIDERS {
        for (how, expected) in [
            (M::WrongAudience, E::Audience(both())),
            (M::ExtraAudience, E::OtherAudiences(both())),
            (M::NoAudience, E::Audience(both())),
            (M::WrongAuthorizedParty, E::AuthorizedParty(both())),
            (M::WrongNonce, E::Nonce),
            (M::NoNonce, E::Nonce),
            (M::WrongIssuer, E::Issuer(both())),
            (M::AlgNone, E::Algorithm(both())),
            (M::Hs256, E::Algorithm(both())),
            (M::OtherAlgorithm, E::Algorithm(both())),
            (M::BadSignature, E::Signature),
            (M::OtherKeySameKid, E::Signature),
            (M::UnknownKey, E::UnknownKey),
            (M::CriticalExtension, E::CriticalExtension),
            (M::Expired, E::Expired(both())),
            (M::NoExpiry, E::Expired(both())),
            (M::IssuedInFuture, E::NotYetValid(both())),
            (M::NoIssuedAt, E::NotYetValid(both())),
            (M::NoSubject, E::Subject),
            (M::WrongAccessTokenHash, E::AccessTokenHash),
            (M::NoIdToken, E::Missing),
            (M::EncryptedIdToken, E::Encrypted),
        ] {
            world.demo.misbehave(flavour, Some(how));
            let refused = world.sign_in(name).await.unwrap_err();
            assert_eq!(kind(&refused), kind(&expected), "{name} {how:?} {refused}");
        }
        // A key in the header of the token is ignored.
        world.demo.misbehave(flavour, Some(M::JwkInHeader));
        assert_eq!(world.sign_in(name).await, Err(E::Signature), "{name}");
    }
}

#[tokio::test]
async fn unusual_but_valid_id_tokens_are_accepted() {
    let world = world(&[]).await;
    for (name, flavour) in PROVIDERS {
        world.demo.misbehave(flavour, Some(M::NoKid));
        world.sign_in(name).await.unwrap();
    }
    // No key set is cached yet.
    let world = crate::support::world(&[]).await;
    for (name, flavour) in PROVIDERS {
        world.demo.misbehave(flavour, Some(M::JunkInJwks));
        world.sign_in(name).await.unwrap();
    }
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let world = world(&[]).await;
    let tokens = world.tokens("google").await;
    world.clock.advance(Duration::from_secs(3600 + 59));
    world.verify("google", &tokens).await.unwrap();
    world.clock.advance(Duration::from_secs(2));
    let refused = world.verify("google", &tokens).await.unwrap_err();
    assert_eq!(kind(&refused), kind(&E::Expired(both())));
}

// signing-key-rotation, signing-key-rotation-just-before-signing.
#[tokio::test]
async fn a_new_key_is_fetched_once() {
    let world = world(&[]).await;
    world.sign_in("demo").await.unwrap();
    world.demo.rotate_keys(Flavour::Oidc, false).unwrap();
    world.sign_in("demo").await.unwrap();
    assert_eq!(world.demo.count(Flavour::Oidc, Endpoint::Jwks), 2);
    // Many tokens with unknown keys cause only a few fetches.
    world.demo.misbehave(Flavour::Oidc, Some(M::UnknownKey));
    let refused = tokio::join!(
        world.sign_in("demo"),
        world.sign_in("demo"),
        world.sign_in("demo"),
        world.sign_in("demo"),
    );
    let (first, second, third, fourth) = refused;
    for refused in [first, second, third, fourth] {
        assert_eq!(refused, Err(E::UnknownKey));
    }
    assert!(world.demo.count(Flavour::Oidc, Endpoint::Jwks) < 6);
}

#[tokio::test]
async fn a_new_key_without_an_id_is_fetched_too() {
    let world = world(&[]).await;
    world.demo.misbehave(Flavour::Google, Some(M::NoKid));
    world.sign_in("google").await.unwrap();
    world.demo.rotate_keys(Flavour::Google, false).unwrap();
    world.sign_in("google").await.unwrap();
}

#[tokio::test]
async fn old_keys_are_used_for_a_bounded_time_while_the_key_set_is_down() {
    let world = world(&[]).await;
    world.sign_in("google").await.unwrap();
    let down = || {
        Fault::on(Endpoint::Jwks)
            .of(Flavour::Google)
            .answering(503, "")
            .times(100)
    };
    world.demo.inject(down());
    world.clock.advance(Duration::from_mins(50));
    world.sign_in("google").await.unwrap();
    world.clock.advance(Duration::from_mins(10));
    let refused = world.sign_in("google").await;
    assert!(matches!(
        refused,
        Err(E::Provider(ProviderError::KeysUnavailable(_)))
    ));
    world.demo.forget_faults();
    world.sign_in("google").await.unwrap();
}

// discovery-issuer-mismatch
#[tokio::test]
async fn a_document_of_another_issuer_is_refused() {
    let world = world(&[]).await;
    for (name, flavour) in PROVIDERS {
        world.demo.misbehave(flavour, Some(M::WrongDiscoveryIssuer));
        let refused = world.provider(name).discover().await;
        assert!(
            matches!(refused, Err(ProviderError::DiscoveryInvalid(_))),
            "{name}"
        );
        world.demo.misbehave(flavour, None);
        world.provider(name).discover().await.unwrap();
    }
}

#[tokio::test]
async fn a_document_is_bounded_and_redirects_are_not_followed() {
    let world = world(&[]).await;
    let google = world.provider("google");
    let on_discovery = || Fault::on(Endpoint::Discovery);
    for fault in [
        on_discovery().answering(200, " ".repeat(300 * 1024)),
        on_discovery().answering(200, "<html>"),
        on_discovery()
            .answering(302, "")
            .with_header("location", &world.demo.issuer(Flavour::Oidc)),
        on_discovery().answering(500, ""),
        on_discovery().reset(),
    ] {
        world.demo.inject(fault.clone());
        assert!(google.discover().await.is_err(), "{fault:?}");
    }
    google.discover().await.unwrap();
}

// refresh-token with another sub.
#[tokio::test]
async fn a_refreshed_id_token_is_about_the_same_person() {
    let world = world(&[]).await;
    for (name, flavour) in [("google", Flavour::Google), ("demo", Flavour::Oidc)] {
        let provider = world.provider(name);
        let tokens = world.tokens(name).await;
        let person = world.verify(name, &tokens).await.unwrap();
        let mut refresh_token = tokens.refresh_token.unwrap();
        for (how, expected) in [
            (None, None),
            (Some(M::OtherSubject), Some(E::OtherSubject)),
            (Some(M::WrongAudience), Some(E::Audience(both()))),
            (Some(M::ExtraAudience), Some(E::OtherAudiences(both()))),
            (
                Some(M::WrongAuthorizedParty),
                Some(E::AuthorizedParty(both())),
            ),
            (Some(M::NoSubject), Some(E::Subject)),
            (Some(M::NoIssuedAt), Some(E::NotYetValid(both()))),
            (Some(M::BadSignature), Some(E::Signature)),
            (Some(M::WrongIssuer), Some(E::Issuer(both()))),
        ] {
            world.demo.misbehave(flavour, how);
            let refreshed = provider.refresh(&refresh_token).await.unwrap();
            let id_token = refreshed.id_token.unwrap();
            let checked = provider
                .verify_refreshed_id_token(
                    &id_token,
                    &refreshed.access_token,
                    &person.issuer,
                    &person.subject,
                )
                .await;
            let refused = checked.err();
            assert_eq!(
                refused.as_ref().map(kind),
                expected.as_ref().map(kind),
                "{name} {how:?} {refused:?}"
            );
            refresh_token = refreshed.refresh_token.unwrap_or(refresh_token);
        }
    }
}

// R3, relying-party check 7: userinfo-invalid-sub.
#[tokio::test]
async fn a_strict_provider_sends_the_address_at_userinfo() {
    let world = world(&[]).await;
    world
        .demo
        .misbehave(Flavour::Oidc, Some(M::ClaimsAtUserinfo));
    let person = world.sign_in("demo").await.unwrap();
    assert_eq!(person.email.as_ref().unwrap().as_str(), "ada@acme.example");
    assert!(person.email_verified());
    assert_eq!(person.name.as_deref(), Some("Ada Lovelace"));
    let down = Fault::on(Endpoint::Userinfo).answering(503, "");
    world.demo.inject(down);
    assert!(matches!(
        world.sign_in("demo").await,
        Err(E::Provider(ProviderError::UserinfoUnavailable(_)))
    ));
    world
        .demo
        .misbehave(Flavour::Oidc, Some(M::OtherUserinfoSubject));
    assert_eq!(world.sign_in("demo").await, Err(E::OtherSubject));
}

/// A single response of the userinfo endpoint.
fn userinfo(claims: &Value) -> Fault {
    let mut claims = claims.clone();
    claims["sub"] = json!("100000000000000000001");
    Fault::on(Endpoint::Userinfo).answering(200, claims.to_string())
}

// R3: Okta in its default configuration.
#[tokio::test]
async fn claims_are_joined_over_id_token_and_userinfo() {
    let world = world(&[]).await;
    let claims = json!({"email_verified": null, "name": null});
    world
        .demo
        .set_claims("ada", claims.as_object().unwrap().clone());
    world.demo.inject(userinfo(
        &json!({"email": "ada@acme.example", "email_verified": true, "name": "Ada"}),
    ));
    let person = world.sign_in("demo").await.unwrap();
    assert!(person.email_verified());
    assert_eq!(person.name.as_deref(), Some("Ada"));
    // The verified address of userinfo is another one.
    world.demo.inject(userinfo(
        &json!({"email": "eve@evil.example", "email_verified": true}),
    ));
    let person = world.sign_in("demo").await.unwrap();
    assert_eq!(person.email.as_ref().unwrap().as_str(), "ada@acme.example");
    assert!(!person.email_verified());
    // A response about another person is refused whatever the ID token contains.
    world
        .demo
        .inject(Fault::on(Endpoint::Userinfo).answering(200, r#"{"sub":"another"}"#));
    assert_eq!(world.sign_in("demo").await, Err(E::OtherSubject));
}

// R3
#[tokio::test]
async fn a_failed_userinfo_request_does_not_refuse_the_person() {
    let world = world(&[]).await;
    let set = |claims: Value| {
        world
            .demo
            .set_claims("ada", claims.as_object().unwrap().clone());
    };
    let down = || Fault::on(Endpoint::Userinfo).answering(503, "<html>");
    set(json!({"name": null}));
    world.demo.inject(down());
    assert!(world.sign_in("demo").await.unwrap().email_verified());
    set(json!({"email_verified": null}));
    world.demo.inject(down());
    let person = world.sign_in("demo").await.unwrap();
    assert!(
        matches!(
            person.email_status,
            EmailStatus::Unverified(Unverified::Unanswered(_))
        ),
        "{person:?}"
    );
    set(json!({"email_verified": false, "name": null}));
    world.demo.inject(down());
    let person = world.sign_in("demo").await.unwrap();
    let denied = EmailStatus::Unverified(Unverified::NotSaid);
    assert_eq!(person.email_status, denied);
}

// R7: authentik, AD FS.
#[tokio::test]
async fn a_trusted_provider_vouches_only_within_its_domains() {
    let trusting = world(&[
        ("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example"),
        ("AUTH_OIDC_DEMO_TRUST_EMAIL", "true"),
    ])
    .await;
    for claim in [json!(false), json!(null), json!("False")] {
        let claims = json!({ "email_verified": claim });
        trusting
            .demo
            .set_claims("ada", claims.as_object().unwrap().clone());
        let person = trusting.sign_in("demo").await.unwrap();
        assert!(person.email_verified(), "{claim}");
    }
    let claims = json!({"email": "ada@globex.example", "email_verified": true});
    trusting
        .demo
        .set_claims("ada", claims.as_object().unwrap().clone());
    let person = trusting.sign_in("demo").await.unwrap();
    assert!(!person.email_verified());
    // TRUST_EMAIL is off by default.
    let careful = world(&[("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example")]).await;
    let claims = json!({"email_verified": false});
    careful
        .demo
        .set_claims("ada", claims.as_object().unwrap().clone());
    assert!(!careful.sign_in("demo").await.unwrap().email_verified());
}

#[tokio::test]
async fn an_id_token_of_another_sign_in_is_refused() {
    let world = world(&[]).await;
    let tokens = world.tokens("google").await;
    let other = world.tokens("google").await;
    let google = world.provider("google");
    let id_token = tokens.id_token.unwrap();
    let mixed = google
        .verify_id_token(&id_token, NONCE, &other.access_token)
        .await;
    assert_eq!(mixed, Err(E::AccessTokenHash));
    let empty = google
        .verify_id_token(&id_token, "", &tokens.access_token)
        .await;
    assert_eq!(empty, Err(E::Nonce));
}
