//! A failing provider: callers get the right class within their deadline, and other
//! callers do not wait.

use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use tonic::Code;

use crate::support::{Client, Refusal, World, eventually, refusal, slow};

/// For all that does not wait for the slow answer. A busy machine may need most of it.
const DEADLINE: Duration = Duration::from_secs(20);

/// A caller of another account is answered.
async fn another_is_answered(world: &World, client: &Client, flavour: Flavour) {
    let account = world.expired(flavour).await;
    let token = client.ask_within(account.id, DEADLINE).await;
    assert_eq!(token.unwrap().version, 2, "{flavour:?}");
}

/// How a caller is refused if the refresh of its account meets the fault.
async fn refusal_of(world: &World, client: &Client, fault: Fault) -> Refusal {
    let account = world.expired(Flavour::Microsoft).await;
    world.demo.inject(fault.of(Flavour::Microsoft));
    let refused = refusal(client.ask_within(account.id, DEADLINE).await);
    assert_eq!(world.stored(&account).await.auth_failed_at, None);
    refused
}

// R32, R33, RF2, RF8.
#[tokio::test]
async fn while_one_answer_takes_29_seconds_every_other_failure_is_answered_in_time() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let late = world.expired(Flavour::Google).await;
    world.demo.inject(slow(29_000).of(Flavour::Google));
    let without_deadline = tokio::spawn({
        let (client, id) = (client.clone(), late.id);
        async move { client.get(id).await }
    });
    eventually(async || (world.demo.refreshes(Flavour::Google) == 1).then_some(())).await;
    let with_deadline = tokio::spawn({
        let (client, id) = (client.clone(), late.id);
        async move { client.refusal_within(id, Duration::from_secs(5)).await }
    });

    let token = || Fault::on(Endpoint::Token);
    let throttled = token().answering(429, "").with_header("Retry-After", "120");
    let local_failures = [
        (token().reset(), Code::Unavailable, "OUTCOME_UNKNOWN", 0),
        (
            token().answering(200, "<html>Welcome"),
            Code::Unavailable,
            "MALFORMED_RESPONSE",
            0,
        ),
        (
            token().answering(502, "<html>Bad Gateway"),
            Code::Unavailable,
            "PROVIDER_UNAVAILABLE",
            0,
        ),
        (throttled, Code::ResourceExhausted, "RATE_LIMIT_ERROR", 120),
    ];
    for (fault, code, reason, seconds) in local_failures {
        // The provider serves more requests than it fails, including those of other
        // accounts of the slow flavour.
        for flavour in [Flavour::Microsoft, Flavour::Microsoft, Flavour::Google] {
            another_is_answered(&world, &client, flavour).await;
        }
        let refused = refusal_of(&world, &client, fault).await;
        assert_eq!((refused.code, refused.reason.as_str()), (code, reason));
        // Rounded to a second by the database.
        let retry_after = refused.retry_after.unwrap() + Duration::from_secs(1);
        assert!(retry_after >= Duration::from_secs(seconds), "{reason}");
        another_is_answered(&world, &client, Flavour::Oidc).await;
    }

    assert!(
        !without_deadline.is_finished(),
        "all of it took longer than 29 s"
    );
    let refused = with_deadline.await.unwrap();
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::DeadlineExceeded, "STILL_REFRESHING")
    );
    assert_eq!(without_deadline.await.unwrap().unwrap().version, 2);
    assert_eq!(client.get(late.id).await.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Google), 1 + 4);
}
