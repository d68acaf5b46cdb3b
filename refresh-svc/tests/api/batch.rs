//! `BatchGetAccessTokens`: each request has its own token or error.

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_proto::token::access_token_result::Result as Outcome;
use tonic::Code;

use crate::support::{Token, World, asking, reason, refusal, slow};

// R30, R32
#[tokio::test]
async fn each_of_a_batch_has_its_token_or_its_error() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let valid = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let expired = world.expired(Flavour::Oidc).await;
    let throttled = world.expired(Flavour::Microsoft).await;
    world.demo.inject(
        Fault::on(Endpoint::Token)
            .of(Flavour::Microsoft)
            .answering(429, ""),
    );
    let results = client
        .batch(vec![
            asking(&valid.id),
            asking("no id"),
            asking(&expired.id),
            asking(&uuid::Uuid::nil()),
            asking(&throttled.id),
        ])
        .await
        .unwrap();

    let outcome: Vec<String> = results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            Outcome::Token(token) => token.account_id,
            Outcome::Error(error) => reason(&error),
        })
        .collect();
    let ids = (valid.id.to_string(), expired.id.to_string());
    assert_eq!(
        outcome,
        [
            ids.0.as_str(),
            "INVALID_REQUEST",
            ids.1.as_str(),
            "ACCOUNT_NOT_FOUND",
            "RATE_LIMIT_ERROR"
        ]
    );
}

#[tokio::test]
async fn a_batch_has_a_bound_and_an_account_in_it_twice_is_refreshed_once() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    let results = client.batch(vec![asking(&account.id); 100]).await.unwrap();
    assert_eq!(results.len(), 100);
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
    let refused = refusal(client.batch(vec![asking(&account.id); 101]).await);
    assert_eq!(refused.code, Code::InvalidArgument);
}

// R30: a slow account does not delay the others.
#[tokio::test]
async fn a_slow_account_of_a_batch_is_still_refreshing_and_delays_no_other() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let slow_one = world.expired(Flavour::Microsoft).await;
    let valid = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    world.demo.inject(slow(9_000).of(Flavour::Microsoft));
    let results = client
        .batch(vec![asking(&slow_one.id), asking(&valid.id)])
        .await
        .unwrap();
    let [first, second] = results.try_into().unwrap();
    let Some(Outcome::Error(error)) = first.result else {
        panic!("the batch waited for its slowest account");
    };
    assert_eq!(reason(&error), "STILL_REFRESHING");
    let Some(Outcome::Token(token)) = second.result else {
        panic!("a slow account took another one's token");
    };
    assert_eq!(token.access_token, valid.access_token);
    // The refresh continues, and a later call gets its result.
    assert_eq!(world.stored(&slow_one).await.version, 1);
    assert_eq!(client.get(slow_one.id).await.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Microsoft), 1);
}

// A person in thousands of groups has an access token of 200 KiB.
#[tokio::test]
async fn large_tokens_are_answered_and_a_batch_of_them_stays_within_a_message() {
    const LARGE: usize = 200 * 1024;
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world.demo.change(|settings| {
        let token = "a".repeat(LARGE);
        settings
            .token_answer
            .insert("access_token".to_owned(), token.into());
    });
    let mut requests = Vec::new();
    for _ in 0..20 {
        requests.push(asking(&world.expired(Flavour::Google).await.id));
    }
    let one = client.ask(requests[0].clone()).await.unwrap();
    assert_eq!(one.access_token.len(), LARGE);
    let results = client.batch(requests.clone()).await.unwrap();
    let mut later = Vec::new();
    for (request, answer) in requests.iter().zip(results) {
        match answer.result.unwrap() {
            Outcome::Token(token) => assert_eq!(token.access_token.len(), LARGE),
            Outcome::Error(error) => {
                assert_eq!(reason(&error), "STILL_REFRESHING");
                later.push(request.clone());
            }
        }
    }
    assert!((1..20).contains(&later.len()), "{}", later.len());
    for request in later {
        assert_eq!(client.ask(request).await.unwrap().access_token.len(), LARGE);
    }
}

// One person's oversized token is not an outage for the others.
#[tokio::test]
async fn a_token_that_is_too_large_is_that_accounts_alone() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let healthy = world.expired(Flavour::Google).await;
    let too_large = |tokens: bool| {
        world.demo.change(|settings| {
            settings.token_answer.clear();
            if tokens {
                let token = "a".repeat(300 * 1024);
                settings
                    .token_answer
                    .insert("access_token".to_owned(), token.into());
            }
        });
    };
    too_large(true);
    for _ in 0..6 {
        let account = world.expired(Flavour::Google).await;
        let refused = refusal(client.get(account.id).await);
        assert_eq!(refused.reason, "MALFORMED_RESPONSE");
    }
    too_large(false);
    client.get(healthy.id).await.unwrap();
}
