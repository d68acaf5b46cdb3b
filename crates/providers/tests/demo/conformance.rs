//! The modules about refreshing of the OpenID Foundation's conformance suite for clients
//! (`oidcc-client-test-…`), each under its name. The other modules are in the tests of
//! auth-svc.

use latchkey_demo_provider::{Flavour, Misbehaviour as M};
use latchkey_providers::{IdTokenError as E, TokenResponse, VerifiedIdentity};

use crate::support::{World, world};

/// The tokens of Ada at the strict provider, and her identity.
async fn ada(world: &World) -> (TokenResponse, VerifiedIdentity) {
    let tokens = world.tokens("demo").await;
    let person = world.verify("demo", &tokens).await.unwrap();
    (tokens, person)
}

/// Refreshes at a provider that misbehaves like this, and verifies the ID token.
async fn refreshed(how: Option<M>) -> (Result<VerifiedIdentity, E>, TokenResponse, World) {
    let world = world(&[]).await;
    let (tokens, person) = ada(&world).await;
    world.demo.misbehave(Flavour::Oidc, how);
    let provider = world.provider("demo");
    let refresh_token = tokens.refresh_token.unwrap();
    let next = provider.refresh(&refresh_token).await.unwrap();
    let checked = provider
        .verify_refreshed_id_token(
            next.id_token.as_ref().unwrap(),
            &next.access_token,
            &person.issuer,
            &person.subject,
        )
        .await;
    (checked, next, world)
}

/// A new access token, a rotated refresh token that works, and an ID token about the
/// same person (Core 12.2).
#[tokio::test]
async fn refresh_token() {
    let (checked, next, world) = refreshed(None).await;
    assert_eq!(
        checked.unwrap().email.as_ref().unwrap().as_str(),
        "ada@acme.example"
    );
    let rotated = next.refresh_token.unwrap();
    assert!(world.demo.refresh_token_works(rotated.expose()));
    let again = world.provider("demo").refresh(&rotated).await.unwrap();
    assert_ne!(again.access_token.expose(), next.access_token.expose());
}

#[tokio::test]
async fn refresh_token_invalid_issuer() {
    let (checked, ..) = refreshed(Some(M::WrongIssuer)).await;
    assert!(matches!(checked, Err(E::Issuer(_))), "{checked:?}");
}

#[tokio::test]
async fn refresh_token_invalid_sub() {
    let (checked, ..) = refreshed(Some(M::OtherSubject)).await;
    assert!(matches!(checked, Err(E::OtherSubject)), "{checked:?}");
}
