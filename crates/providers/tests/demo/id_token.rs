//! ID tokens that prove nothing, after the list of the OpenID Foundation's
//! `oidcc-client-test-*` modules.

use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour, Misbehaviour as M};
use latchkey_providers::{IdTokenError as E, ProviderError};

use crate::support::{NONCE, world};

const PROVIDERS: [(&str, Flavour); 3] = [
    ("google", Flavour::Google),
    ("microsoft", Flavour::Microsoft),
    ("demo", Flavour::Oidc),
];

// Relying-party checks 2, 4, 6, 7: each a negative test, at each provider.
#[tokio::test]
async fn every_bad_id_token_is_refused() {
    let world = world(&[]).await;
    for (name, flavour) in PROVIDERS {
        for (how, expected) in [
            (M::WrongAudience, E::Audience),
            (M::ExtraAudience, E::Audience),
            (M::NoAudience, E::Audience),
            (M::WrongAuthorizedParty, E::AuthorizedParty),
            (M::WrongNonce, E::Nonce),
            (M::NoNonce, E::Nonce),
            (M::WrongIssuer, E::Issuer),
            (M::AlgNone, E::Algorithm),
            (M::Hs256, E::Algorithm),
            (M::OtherAlgorithm, E::Algorithm),
            (M::BadSignature, E::Signature),
            (M::OtherKeySameKid, E::Signature),
            (M::UnknownKey, E::UnknownKey),
            (M::CriticalExtension, E::CriticalExtension),
            (M::Expired, E::Expired),
            (M::NoExpiry, E::Expired),
            (M::IssuedInFuture, E::NotYetValid),
            (M::NoIssuedAt, E::NotYetValid),
            (M::NoSubject, E::Subject),
            (M::WrongAccessTokenHash, E::AccessTokenHash),
            (M::NoIdToken, E::Missing),
        ] {
            world.demo.misbehave(flavour, Some(how));
            assert_eq!(world.sign_in(name).await, Err(expected), "{name} {how:?}");
        }
        // A key that the token brings itself is not looked at.
        world.demo.misbehave(flavour, Some(M::JwkInHeader));
        assert_eq!(world.sign_in(name).await, Err(E::Signature), "{name}");
    }
}

#[tokio::test]
async fn what_is_merely_unusual_is_accepted() {
    let world = world(&[]).await;
    for (name, flavour) in PROVIDERS {
        world.demo.misbehave(flavour, Some(M::NoKid));
        world.sign_in(name).await.unwrap();
    }
    // Fetched anew: no key set is cached yet in this world.
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
    assert_eq!(world.verify("google", &tokens).await, Err(E::Expired));
}

// signing-key-rotation, signing-key-rotation-just-before-signing.
#[tokio::test]
async fn a_new_key_is_fetched_once() {
    let world = world(&[]).await;
    world.sign_in("demo").await.unwrap();
    world.demo.rotate_keys(Flavour::Oidc, false).unwrap();
    world.sign_in("demo").await.unwrap();
    assert_eq!(world.demo.count(Flavour::Oidc, Endpoint::Jwks), 2);
    // A flood of unknown keys asks no more than once in a while.
    world.demo.misbehave(Flavour::Oidc, Some(M::UnknownKey));
    for _ in 0..5 {
        assert_eq!(world.sign_in("demo").await, Err(E::UnknownKey));
    }
    assert_eq!(world.demo.count(Flavour::Oidc, Endpoint::Jwks), 2);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.sign_in("demo").await, Err(E::UnknownKey));
    assert_eq!(world.demo.count(Flavour::Oidc, Endpoint::Jwks), 3);
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
async fn old_keys_serve_while_the_key_set_is_down_but_not_for_ever() {
    let world = world(&[]).await;
    world.sign_in("google").await.unwrap();
    let down = || {
        Fault::on(Endpoint::Jwks)
            .of(Flavour::Google)
            .answering(503, "")
            .times(100)
    };
    world.demo.inject(down());
    world.clock.advance(Duration::from_hours(2));
    world.sign_in("google").await.unwrap();
    world.clock.advance(Duration::from_hours(23));
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
async fn a_document_is_bounded_and_followed_nowhere() {
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

// refresh-token with another sub, after what came with it was stored.
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
            (Some(M::WrongAudience), Some(E::Audience)),
            (Some(M::ExtraAudience), Some(E::Audience)),
            (Some(M::WrongAuthorizedParty), Some(E::AuthorizedParty)),
            (Some(M::NoSubject), Some(E::Subject)),
            (Some(M::NoIssuedAt), Some(E::NotYetValid)),
            (Some(M::BadSignature), Some(E::Signature)),
            (Some(M::WrongIssuer), Some(E::Issuer)),
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
            assert_eq!(checked.err(), expected, "{name} {how:?}");
            refresh_token = refreshed.refresh_token.unwrap_or(refresh_token);
        }
    }
}

// R3, relying-party check 7: userinfo-invalid-sub.
#[tokio::test]
async fn a_strict_provider_tells_the_address_at_userinfo() {
    let world = world(&[]).await;
    world
        .demo
        .misbehave(Flavour::Oidc, Some(M::ClaimsAtUserinfo));
    let person = world.sign_in("demo").await.unwrap();
    assert_eq!(person.email.unwrap().as_str(), "ada@acme.example");
    assert!(person.email_verified);
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
