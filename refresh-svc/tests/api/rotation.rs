//! R31: the refresh token is kept if none was issued, and replaced otherwise.

use latchkey_demo_provider::{Endpoint, Fault, Flavour, Misbehaviour};
use tonic::Code;

use crate::support::{World, refusal};

// R31
#[tokio::test]
async fn a_provider_that_returns_no_refresh_token_leaves_the_stored_one() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    let before = world.stored(&account).await.sealed_refresh_token;

    client.get(account.id).await.unwrap();

    assert_eq!(world.stored(&account).await.sealed_refresh_token, before);
    assert_eq!(
        world.stored_refresh_token(&account).await,
        account.refresh_token
    );
}

// R31
#[tokio::test]
async fn a_rotated_refresh_token_replaces_the_stored_one_every_time() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    for flavour in [Flavour::Microsoft, Flavour::Oidc] {
        let account = world.expired(flavour).await;
        let mut last = account.refresh_token.clone();
        let mut version = 1;
        for _ in 0..3 {
            version = client.refused(account.id, version).await.unwrap().version;
            let stored = world.stored_refresh_token(&account).await;
            assert_ne!(stored, last);
            assert!(world.demo.refresh_token_works(&stored));
            last = stored;
            world.end_minute().await;
        }
        assert_eq!(version, 4);
        assert_eq!(world.demo.refreshes(flavour), 3);
    }
}

// R31, RF5: a strict provider whose answer was lost once.
#[tokio::test]
async fn a_strict_provider_is_asked_exactly_once_more_after_a_lost_answer() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(
        Fault::on(Endpoint::Token)
            .of(Flavour::Oidc)
            .after_work()
            .reset(),
    );

    let lost = refusal(client.get(account.id).await);
    assert_eq!(
        (lost.code, lost.reason.as_str()),
        (Code::Unavailable, "OUTCOME_UNKNOWN")
    );
    assert_eq!(world.stored(&account).await.intent_count, 1);
    world.end_backoff(&account).await;

    let dead = refusal(client.get(account.id).await);
    assert_eq!(
        (dead.code, dead.reason.as_str()),
        (Code::FailedPrecondition, "ROTATION_LOST")
    );
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 2);
    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "ROTATION_LOST"
    );
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 2);
}

// RF5: an outage proves nothing, only a refusal does.
#[tokio::test]
async fn an_outage_of_a_strict_provider_loses_no_grant() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.inject(
        Fault::on(Endpoint::Token)
            .of(Flavour::Oidc)
            .times(4)
            .reset(),
    );
    for _ in 0..4 {
        assert_eq!(
            refusal(client.get(account.id).await).reason,
            "OUTCOME_UNKNOWN"
        );
        world.end_backoff(&account).await;
    }
    assert_eq!(client.get(account.id).await.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 5);
}

// A strict provider may have used the refresh token up with an unreadable answer: it is
// sent exactly once more, in case it was not used up.
#[tokio::test]
async fn a_strict_provider_with_unreadable_answers_gets_exactly_one_replay() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let mended = world.expired(Flavour::Oidc).await;
    let unreadable = || {
        Fault::on(Endpoint::Token)
            .of(Flavour::Oidc)
            .answering(200, "<html>")
    };
    world.demo.inject(unreadable());
    let refused = refusal(client.get(mended.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unavailable, "MALFORMED_RESPONSE")
    );
    world.end_backoff(&mended).await;
    assert_eq!(client.get(mended.id).await.unwrap().version, 2);
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 2);

    let lost = world.expired(Flavour::Oidc).await;
    world.demo.inject(unreadable().times(20));
    let mut reasons = Vec::new();
    for _ in 0..7 {
        reasons.push(refusal(client.get(lost.id).await).reason);
        world.end_backoff(&lost).await;
    }
    assert_eq!(reasons[0], "MALFORMED_RESPONSE");
    assert!(
        reasons[1..].iter().all(|reason| reason == "ROTATION_LOST"),
        "{reasons:?}"
    );
    assert_eq!(world.demo.refreshes(Flavour::Oidc), 2 + 2);
    assert_eq!(world.reauth_events().await.len(), 1);
}

// RF5: without strict rotation a request is repeated after a lost
// answer.
#[tokio::test]
async fn a_refresh_is_repeated_after_a_lost_answer_if_the_provider_is_not_strict() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    for flavour in [Flavour::Google, Flavour::Microsoft] {
        let account = world.expired(flavour).await;
        for _ in 0..3 {
            world
                .demo
                .inject(Fault::on(Endpoint::Token).of(flavour).after_work().reset());
            assert_eq!(
                refusal(client.get(account.id).await).reason,
                "OUTCOME_UNKNOWN"
            );
            world.end_backoff(&account).await;
        }
        assert_eq!(client.get(account.id).await.unwrap().version, 2);
        assert_eq!(world.stored(&account).await.intent_count, 0);
    }
}

// R31, RF6: a rotated token is stored although the answer is
// otherwise invalid.
#[tokio::test]
async fn a_rotated_refresh_token_in_a_broken_answer_is_stored() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let (_, next) = world.demo.grant(Flavour::Oidc, "ada", &["openid"]).unwrap();
    let broken = format!(r#"{{"refresh_token":"{next}"}}"#);
    world
        .demo
        .inject(Fault::on(Endpoint::Token).answering(200, broken));

    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "MALFORMED_RESPONSE"
    );
    assert_eq!(world.stored_refresh_token(&account).await, next);
    world.end_backoff(&account).await;
    assert!(client.get(account.id).await.is_ok());
}

// R31: checks that may fail come after the storing.
#[tokio::test]
async fn a_bad_id_token_never_loses_a_rotated_refresh_token() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world
        .demo
        .misbehave(Flavour::Oidc, Some(Misbehaviour::BadSignature));
    let account = world.expired(Flavour::Oidc).await;

    assert_eq!(client.get(account.id).await.unwrap().version, 2);

    let stored = world.stored_refresh_token(&account).await;
    assert!(world.demo.refresh_token_works(&stored));
}

// OpenID Connect Core section 12.2.
#[tokio::test]
async fn a_refresh_that_brings_another_persons_id_token_is_never_answered() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world
        .demo
        .misbehave(Flavour::Oidc, Some(Misbehaviour::OtherSubject));
    let account = world.expired(Flavour::Oidc).await;

    let refused = refusal(client.get(account.id).await);

    assert_eq!(refused.code, Code::FailedPrecondition);
    assert!(world.stored(&account).await.auth_failed_at.is_some());
}
