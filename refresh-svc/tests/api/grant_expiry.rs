//! R48: grants that the provider ends by itself, and grants of earlier sign-ins.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::RefreshToken;
use serde_json::json;

use crate::support::{Account, SCOPES, Token, World, eventually, next};

/// A refresh token of an earlier sign-in, as sync-svc stores it.
pub async fn left_behind(world: &World, account: &Account, flavour: Flavour) -> String {
    let (_, token) = world.demo.grant(flavour, "ada", SCOPES).unwrap();
    let key = world.keys();
    let sealed = key
        .sealing_key()
        .seal_refresh_token(&RefreshToken::new(token.as_str()), &account.binding)
        .unwrap()
        .into_bytes();
    sqlx::query(
        "INSERT INTO vault.replaced_grant (account_id, sealed_refresh_token) VALUES ($1, $2)",
    )
    .bind(account.id.as_uuid())
    .bind(sealed)
    .execute(world.pool())
    .await
    .unwrap();
    token
}

async fn kept(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM vault.replaced_grant")
        .fetch_one(world.pool())
        .await
        .unwrap()
}

// R37: Keycloak keeps the grants of all sign-ins.
#[tokio::test]
async fn after_a_disconnect_no_grant_of_an_earlier_sign_in_lives() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for flavour in [Flavour::Oidc, Flavour::Google] {
        let account = world.connect(flavour, "ada", Token::Expires(3000)).await;
        let mut tokens = vec![account.refresh_token.clone()];
        for _ in 0..3 {
            tokens.push(left_behind(&world, &account, flavour).await);
        }
        assert!(client.revoke(account.id).await.unwrap(), "{flavour:?}");
        for token in &tokens {
            assert!(!world.demo.refresh_token_works(token), "{flavour:?}");
        }
        assert_eq!(kept(&world).await, 0, "{flavour:?}");
    }
}

// R37: a sign-in without a refresh token may have replaced one with a refresh token.
#[tokio::test]
async fn grants_of_earlier_sign_ins_are_revoked_also_if_the_newest_has_no_refresh_token() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    let earlier = left_behind(&world, &account, Flavour::Oidc).await;
    sqlx::query("UPDATE vault.credential SET sealed_refresh_token = NULL")
        .execute(world.pool())
        .await
        .unwrap();
    assert!(!client.revoke(account.id).await.unwrap());
    assert!(!world.demo.refresh_token_works(&earlier));
    assert_eq!(kept(&world).await, 0);
}

// R37: a revocation is reported as confirmed only if the provider confirmed all of it.
#[tokio::test]
async fn an_earlier_grant_that_was_not_revoked_is_reported() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    left_behind(&world, &account, Flavour::Oidc).await;
    world
        .demo
        .inject(Fault::on(Endpoint::Revocation).answering(503, ""));
    assert!(!client.revoke(account.id).await.unwrap());
    assert_eq!(kept(&world).await, 0);
}

#[tokio::test]
async fn a_grant_that_ends_is_renewed_before_its_end_and_its_end_is_reported() {
    let world = World::new().await;
    world.demo.change(|settings| {
        let life = json!(7200);
        settings
            .token_answer
            .insert("refresh_expires_in".to_owned(), life);
    });
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    sqlx::query(
        "UPDATE vault.credential
         SET refresh_token_version = version,
             refresh_token_expires_at = now() + interval '20 minutes', renew_at = now()",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let (_replica, client) = world.served().await;
    // No caller requests it.
    eventually(async || (world.stored(&account).await.version == 2).then_some(())).await;
    // The row may be newer than the cache for a moment: then the new end follows.
    let mut stream = client.watch(account.id).await.unwrap();
    loop {
        let item = next(&mut stream).await;
        let end = item.grant_expires_at.unwrap().seconds;
        if end > item.token.unwrap().expires_at.unwrap().seconds {
            break;
        }
    }
    let due: bool =
        sqlx::query_scalar("SELECT renew_at > now() + interval '30 minutes' FROM vault.credential")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert!(due, "renewed only once");
}
