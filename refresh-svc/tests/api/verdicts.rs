//! R32, R34: what a refusal means for a grant.

use std::time::Duration;

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Token, World, logged, refusal};

fn answering(status: u16, body: &str) -> Fault {
    Fault::on(Endpoint::Token)
        .of_grant("refresh_token")
        .answering(status, body)
}

fn claims(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    info.metadata.get("claims").cloned()
}

// An administrator may enable the person again: then the same grant is served.
#[tokio::test]
async fn a_refusal_that_an_administrator_withdraws_ends_by_itself() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    for (error, reason) in [
        (
            r#"{"error":"invalid_grant","error_description":"User disabled"}"#,
            "ACCOUNT_DISABLED",
        ),
        (r#"{"error":"admin_policy_enforced"}"#, "BLOCKED_BY_ADMIN"),
    ] {
        let account = world.expired(Flavour::Oidc).await;
        world.demo.inject(answering(400, error));

        let refused = refusal(client.get(account.id).await);

        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::FailedPrecondition, reason)
        );
        assert_eq!(world.stored(&account).await.auth_failed_at, None);
        // An immediate second call does not reach the provider.
        assert_eq!(refusal(client.get(account.id).await).reason, reason);
        world.end_backoff(&account).await;
        assert_eq!(client.get(account.id).await.unwrap().version, 2);
    }
    assert!(world.reauth_events().await.is_empty());
}

#[tokio::test]
async fn a_refusal_that_lasts_two_weeks_is_final() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    let disabled = r#"{"error":"invalid_grant","error_description":"User disabled"}"#;
    world.demo.inject(answering(400, disabled).times(2));
    assert!(client.get(account.id).await.is_err());
    sqlx::query(
        "UPDATE vault.credential SET retry_after = now(),
             refused_since = refused_since - interval '15 days'",
    )
    .execute(world.pool())
    .await
    .unwrap();

    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "ACCOUNT_DISABLED"
    );

    assert!(world.stored(&account).await.auth_failed_at.is_some());
    assert_eq!(world.reauth_events().await.len(), 1);
}

#[tokio::test]
async fn a_grant_that_is_refused_again_and_again_for_no_known_reason_ends() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world
        .demo
        .inject(answering(400, r#"{"error":"something_new"}"#).times(100));
    let mut last = Duration::ZERO;
    for _ in 0..11 {
        let refused = refusal(client.get(account.id).await);
        assert_eq!(refused.reason, "UNKNOWN");
        assert!(refused.retry_after.unwrap() >= last);
        last = refused.retry_after.unwrap();
        world.end_backoff(&account).await;
    }
    assert_eq!(world.stored(&account).await.auth_failed_at, None);

    let refused = refusal(client.get(account.id).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "REFUSED")
    );
    assert!(world.stored(&account).await.auth_failed_at.is_some());
    assert_eq!(world.reauth_events().await.len(), 1);
}

#[tokio::test]
async fn a_changed_client_id_has_its_own_reason() {
    let world = World::uncached().await;
    let account = world.expired(Flavour::Oidc).await;
    {
        let (_replica, client) = world.served().await;
        client.get(account.id).await.unwrap();
    }
    sqlx::query("UPDATE vault.credential SET access_token_expires_at = now() - interval '1 s'")
        .execute(world.pool())
        .await
        .unwrap();
    world
        .demo
        .inject(answering(400, r#"{"error":"invalid_grant"}"#));
    let world = world.with("AUTH_OIDC_DEMO_CLIENT_ID", "another");
    let (_replica, client) = world.served().await;

    let refused = refusal(client.get(account.id).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "CLIENT_CHANGED")
    );
    assert!(world.stored(&account).await.auth_failed_at.is_some());
}

// The client was deleted, or the application was revoked.
#[tokio::test]
async fn a_burst_of_refusals_marks_no_more_grants_and_is_logged() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let mut reasons = Vec::new();
    let mut accounts = Vec::new();
    for _ in 0..13 {
        let account = world.expired(Flavour::Google).await;
        world.demo.revoke("ada", Some(Flavour::Google));
        reasons.push(refusal(client.get(account.id).await));
        accounts.push(account);
    }
    for refused in &reasons[..10] {
        assert_eq!(refused.reason, "INVALID_REFRESH_TOKEN");
    }
    for (refused, account) in reasons.iter().zip(&accounts).skip(10) {
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Internal, "GRANTS_REFUSED")
        );
        assert_eq!(world.stored(account).await.auth_failed_at, None);
    }
    assert_eq!(world.reauth_events().await.len(), 10);
    assert!(logged().contains("the provider refuses the grants of many accounts"));

    // After a grant was served the client is considered valid, and the next refusal is
    // that person's.
    let healthy = world.expired(Flavour::Google).await;
    client.get(healthy.id).await.unwrap();
    let account = world.expired(Flavour::Google).await;
    world.demo.revoke("ada", Some(Flavour::Google));
    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "INVALID_REFRESH_TOKEN"
    );
}

// The version counts access tokens: a refused one is never answered as newer.
#[tokio::test]
async fn a_new_refresh_token_alone_is_no_new_version() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    world
        .demo
        .inject(answering(200, r#"{"refresh_token":"rotated"}"#));

    let refused = refusal(client.refused(account.id, 1).await);

    assert_eq!(refused.reason, "MALFORMED_RESPONSE");
    let stored = world.stored(&account).await;
    assert_eq!((stored.version, stored.intent_count), (1, 0));
    assert_eq!(world.stored_refresh_token(&account).await, "rotated");
    assert!(client.refused(account.id, 1).await.is_err());
}

// A gateway lost the provider: whether the refresh token was used up is unknown.
#[tokio::test]
async fn the_answer_of_a_gateway_keeps_the_intent() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    for (status, body, intents) in [
        (504, "", 1),
        (502, "<html>", 1),
        (500, "", 1),
        (200, "<html>", 1),
        (503, "", 0),
        (500, r#"{"error":"server_error"}"#, 0),
    ] {
        let account = world.expired(Flavour::Oidc).await;
        world.demo.inject(answering(status, body));
        assert!(client.get(account.id).await.is_err());
        let stored = world.stored(&account).await;
        assert_eq!(stored.intent_count, intents, "{status} {body}");
        // Other accounts are served, so that the circuit breaker stays closed.
        for _ in 0..2 {
            let healthy = world.expired(Flavour::Oidc).await;
            client.get(healthy.id).await.unwrap();
        }
    }
}

// Callers force at most one refresh of an account a minute, and otherwise get the
// current token.
#[tokio::test]
async fn callers_force_one_refresh_a_minute() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let first = client.get_with_life(account.id, 3590).await.unwrap();
    assert_eq!((first.version, first.reason.as_str()), (2, ""));
    for _ in 0..6 {
        let token = client.get_with_life(account.id, 3600).await.unwrap();
        assert_eq!(token.version, 2);
        let token = client.refused(account.id, 2).await.unwrap();
        assert_eq!(
            (token.version, token.reason.as_str()),
            (2, "REFRESHED_LATELY")
        );
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
    // Another replica respects this too.
    let (_other, elsewhere) = world.served().await;
    let token = elsewhere.refused(account.id, 2).await.unwrap();
    assert_eq!(token.reason, "REFRESHED_LATELY");
    // After the minute it is refreshed.
    world.end_minute().await;
    let (_third, client) = world.served().await;
    assert_eq!(client.refused(account.id, 2).await.unwrap().version, 3);
    assert_eq!(world.demo.refreshes(Flavour::Google), 2);
}

const CHALLENGE: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
const MORE: &str = r#"{"error":"interaction_required","error_codes":[50076],"claims":"{\"access_token\":{\"polids\":{}}}"}"#;
const ASKED: &str = r#"{"access_token":{"polids":{}}}"#;

// A claims challenge of one API concerns that API, the caller and the person.
#[tokio::test]
async fn a_challenge_that_only_the_person_meets_is_answered_and_ends_no_grant() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Microsoft, "ada", Token::Expires(3000))
        .await;
    world.demo.inject(answering(400, MORE));
    // Encoded as in `WWW-Authenticate`.
    let encoded = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19";

    let refused = client.challenged(account.id, 1, encoded).await;

    assert_eq!(
        claims(refused.as_ref().unwrap_err()).as_deref(),
        Some(ASKED)
    );
    assert_eq!(refusal(refused).reason, "INTERACTION_REQUIRED");
    let stored = world.stored(&account).await;
    assert_eq!(
        (
            stored.auth_failed_at,
            stored.failure_class,
            stored.intent_count
        ),
        (None, None, 0)
    );
    assert_eq!(client.get(account.id).await.unwrap().version, 1);
    // A challenge that the provider meets brings a token.
    let token = client.challenged(account.id, 1, CHALLENGE).await.unwrap();
    assert_eq!(token.version, 2);
    let odd = refusal(client.challenged(account.id, 2, "no json").await);
    assert_eq!(odd.reason, "INVALID_REQUEST");
}

#[tokio::test]
async fn what_the_provider_asks_of_the_person_reaches_every_caller() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Microsoft).await;
    world.demo.inject(answering(400, MORE));
    for _ in 0..2 {
        let refused = client.get(account.id).await;
        assert_eq!(
            claims(refused.as_ref().unwrap_err()).as_deref(),
            Some(ASKED)
        );
        assert_eq!(refusal(refused).reason, "INTERACTION_REQUIRED");
    }
    let (_other, elsewhere) = world.served().await;
    let refused = elsewhere.get(account.id).await.unwrap_err();
    assert_eq!(claims(&refused).as_deref(), Some(ASKED));
}

// Dex answers 500 if a person does not exist any more. Any number of them does not
// affect others.
#[tokio::test]
async fn accounts_of_deleted_people_delay_no_other_refresh() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let dialects = [
        "dex_person_gone",
        "dex_claimed",
        "unknown_word_under_400",
        "slack_not_ok",
    ];
    let mut gone = Vec::new();
    for number in 0..24 {
        let account = world.expired(Flavour::Oidc).await;
        let dialect = dialects[number % dialects.len()];
        world
            .demo
            .respond_with_sample(&account.refresh_token, dialect)
            .unwrap();
        gone.push(account.id);
    }
    for _ in 0..2 {
        let asked = gone.iter().map(|account| client.get(*account));
        for answer in futures::future::join_all(asked).await {
            assert!(answer.is_err());
        }
        let healthy = world.expired(Flavour::Oidc).await;
        assert_eq!(client.get(healthy.id).await.unwrap().version, 2);
        sqlx::query("UPDATE vault.credential SET retry_after = now() WHERE retry_after > now()")
            .execute(world.pool())
            .await
            .unwrap();
    }
}

// A refusal in the dialect of a provider that never answers `invalid_grant`.
#[tokio::test]
async fn a_revoked_grant_is_dead_in_the_dialect_of_dex() {
    let world = World::new().await;
    world
        .demo
        .change(|settings| settings.dead_grant = Some("dex_claimed".to_owned()));
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Oidc).await;
    world.demo.revoke("ada", Some(Flavour::Oidc));
    assert_eq!(
        refusal(client.get(account.id).await).reason,
        "INVALID_REFRESH_TOKEN"
    );
    assert_eq!(world.reauth_events().await.len(), 1);
}

// A log collector interprets `level` as the severity.
#[tokio::test]
async fn the_log_of_a_circuit_breaker_has_no_field_of_a_reserved_name() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    world.demo.inject(answering(503, "").times(3));
    for _ in 0..3 {
        let account = world.expired(Flavour::Google).await;
        assert!(client.get(account.id).await.is_err());
    }
    let lines = logged();
    let circuits: Vec<_> = lines
        .lines()
        .filter(|l| l.contains(": circuit breaker changed "))
        .collect();
    assert!(!circuits.is_empty());
    for line in circuits {
        for reserved in [" level=", " message=", " timestamp=", " target="] {
            assert!(!line.contains(reserved), "{line}");
        }
    }
}
