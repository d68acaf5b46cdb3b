//! Which account a handle identifies (R19, R30): never one whose address is not vouched
//! for.

use latchkey_demo_provider::Flavour;
use latchkey_domain::{AccountId, UserId};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccountHandle, AccountSelector, GetAccessTokenRequest};
use tonic::Code;

use crate::support::{Account, Token, World, refusal};

fn by_handle(account: &Account, handle: &str) -> GetAccessTokenRequest {
    GetAccessTokenRequest {
        account: Some(AccountSelector {
            selector: Some(Selector::Handle(AccountHandle {
                workspace_id: account.binding.workspace.to_string(),
                provider: account.binding.provider.to_string(),
                handle: handle.to_owned(),
            })),
        }),
        ..GetAccessTokenRequest::default()
    }
}

/// Sets the vouched address.
async fn vouch(world: &World, account: &Account, handle: Option<&str>) {
    sqlx::query("UPDATE vault.credential SET vouched_handle = $2 WHERE account_id = $1")
        .bind(account.id.as_uuid())
        .bind(handle)
        .execute(world.pool())
        .await
        .unwrap();
}

/// A living account of another person in the same workspace that displays the same
/// address.
async fn shows_the_same(world: &World, account: &Account) -> Account {
    let mut other = world.connect(Flavour::Google, "grace", Token::Absent).await;
    sqlx::query("DELETE FROM vault.credential WHERE account_id = $1")
        .bind(other.id.as_uuid())
        .execute(world.pool())
        .await
        .unwrap();
    other.id = AccountId::generate();
    other.binding.workspace = account.binding.workspace;
    other.binding.user = UserId::generate();
    other.handle.clone_from(&account.handle);
    world.insert(&other, Token::Expires(3000)).await;
    other
}

#[tokio::test]
async fn an_account_that_merely_shows_an_address_is_not_found_by_it() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    vouch(&world, &account, None).await;
    let asked = client.ask(by_handle(&account, &account.handle)).await;
    let refused = refusal(asked);
    assert_eq!(refused.code, Code::NotFound);
    assert_eq!(refused.reason, "ACCOUNT_NOT_FOUND");
    // It is found by its id.
    client.get(account.id).await.unwrap();
    vouch(&world, &account, Some(&account.handle)).await;
    client
        .ask(by_handle(&account, &account.handle))
        .await
        .unwrap();
}

#[tokio::test]
async fn of_two_accounts_with_one_address_the_vouched_one_is_found() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let impostor = shows_the_same(&world, &account).await;
    vouch(&world, &impostor, None).await;
    let token = client
        .ask(by_handle(&account, &account.handle))
        .await
        .unwrap();
    assert_eq!(token.account_id, account.id.to_string());
    // The same applies if the address was changed by a writer that vouches for nothing.
    vouch(&world, &impostor, Some("eve@evil.example")).await;
    let token = client
        .ask(by_handle(&account, &account.handle))
        .await
        .unwrap();
    assert_eq!(token.account_id, account.id.to_string());
}

// R7
#[tokio::test]
async fn a_handle_of_an_international_domain_is_found_in_either_form() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    sqlx::query(
        "UPDATE vault.credential SET handle = $2, vouched_handle = $2 WHERE account_id = $1",
    )
    .bind(account.id.as_uuid())
    .bind("ada@xn--bcher-kva.example")
    .execute(world.pool())
    .await
    .unwrap();
    for handle in ["Ada@Bücher.example", "ada@xn--bcher-kva.example"] {
        let token = client.ask(by_handle(&account, handle)).await.unwrap();
        assert_eq!(token.account_id, account.id.to_string(), "{handle}");
    }
}
