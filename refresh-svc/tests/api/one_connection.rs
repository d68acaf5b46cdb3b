//! `DATABASE_MAX_CONNECTIONS=1`, which every test here sets: code that holds one
//! connection and waits for another one would wait for itself.

use latchkey_demo_provider::Flavour;
use latchkey_proto::methods_of;
use refresh_svc::commands;
use refresh_svc::commands::keys::status::Lost;
use tokio::task::JoinSet;
use tonic::Status;

use crate::support::{Account, Client, Token, World, asking, next};

/// Concurrent calls of each kind.
const CROWD: usize = 8;

/// Calls a method by its name in the contract.
async fn call(client: &Client, method: &str, account: &Account) -> Result<(), Status> {
    match method {
        "GetAccessToken" => client.get(account.id).await.map(drop),
        "BatchGetAccessTokens" => client.batch(vec![asking(&account.id); 3]).await.map(drop),
        "WatchAccount" => {
            next(&mut client.watch(account.id).await?).await;
            Ok(())
        }
        "RefreshAccessToken" => client.refused(account.id, 1).await.map(drop),
        "RevokeAccount" => client.revoke(account.id).await.map(drop),
        other => panic!("say here how {other} is called"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_with_one_connection() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let mut calls = JoinSet::new();
    for method in methods_of("latchkey.token.v1", "TokenService") {
        for number in 0..CROWD {
            let token = if number % 2 == 0 {
                Token::Expires(-10)
            } else {
                Token::Expires(3000)
            };
            // A revocation may end other accounts of the same person.
            let flavour = if method == "RevokeAccount" {
                Flavour::Microsoft
            } else {
                Flavour::Google
            };
            let account = world.connect(flavour, "ada", token).await;
            let (client, method) = (client.clone(), method.clone());
            calls.spawn(async move { (call(&client, &method, &account).await, method) });
        }
    }
    while let Some(answered) = calls.join_next().await {
        let (answer, method) = answered.unwrap();
        assert!(answer.is_ok(), "{method}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_with_one_connection() {
    let world = World::new().await;
    for _ in 0..3 {
        world.expired(Flavour::Google).await;
    }
    let environment = world.environment();
    let out = &mut Vec::new();
    commands::check::check(&environment, out).await.unwrap();
    for lost in [Lost::List, Lost::Mark] {
        commands::keys::status::status(&environment, lost, out)
            .await
            .unwrap();
    }
    commands::keys::reseal::reseal(&environment, out)
        .await
        .unwrap();
}
