//! R32: every failure has its class, its status and its retry information.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_proto::token::{GetAccessTokenRequest, RefreshAccessTokenRequest};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::{Token, World, refusal};

fn fault() -> Fault {
    Fault::on(Endpoint::Token).of_grant("refresh_token")
}

const HTML: &str = "<!doctype html><title>Proxy</title>";

// R32
#[tokio::test]
async fn each_failure_of_the_provider_has_its_class() {
    let world = World::new().await;
    let cases = [
        (
            fault().answering(503, ""),
            Code::Unavailable,
            "PROVIDER_UNAVAILABLE",
            0,
        ),
        (
            fault().answering(502, HTML),
            Code::Unavailable,
            "PROVIDER_UNAVAILABLE",
            1,
        ),
        (
            fault().answering(429, ""),
            Code::ResourceExhausted,
            "RATE_LIMIT_ERROR",
            0,
        ),
        (
            fault().answering(200, HTML),
            Code::Unavailable,
            "MALFORMED_RESPONSE",
            0,
        ),
        (
            fault().answering(200, "{}"),
            Code::Unavailable,
            "MALFORMED_RESPONSE",
            0,
        ),
        (fault().reset(), Code::Unavailable, "OUTCOME_UNKNOWN", 1),
        (
            fault().answering(401, r#"{"error":"invalid_client"}"#),
            Code::Internal,
            "CLIENT_MISCONFIGURED",
            0,
        ),
        (
            fault().answering(401, "{}"),
            Code::Internal,
            "UNAUTHORIZED",
            0,
        ),
        (
            fault().answering(400, r#"{"error":"invalid_request"}"#),
            Code::Internal,
            "REQUEST_REJECTED",
            0,
        ),
        (
            fault().answering(400, r#"{"error":"invalid_scope"}"#),
            Code::Internal,
            "SCOPE_INVALID",
            0,
        ),
        (
            fault().answering(400, r#"{"error":"invalid_grant"}"#),
            Code::FailedPrecondition,
            "INVALID_REFRESH_TOKEN",
            0,
        ),
    ];
    for (fault, code, reason, intents) in cases {
        // Each case has its own replica: failures of several accounts would open its
        // circuit breaker.
        let (_replica, client) = world.served().await;
        world.demo.forget_counters();
        let account = world.expired(Flavour::Google).await;
        world.demo.inject(fault);

        let refused = refusal(client.get(account.id).await);

        assert_eq!((refused.code, refused.reason.as_str()), (code, reason));
        let retries = matches!(code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(refused.retry_after.is_some(), retries, "{reason}");
        let stored = world.stored(&account).await;
        // A failure that is specific to the replica is not stored in the row.
        let of_the_client = ["CLIENT_MISCONFIGURED", "UNAUTHORIZED"].contains(&reason);
        let in_the_row = (!of_the_client).then_some(reason);
        assert_eq!(stored.failure_class.as_deref(), in_the_row);
        assert_eq!(
            stored.auth_failed_at.is_some(),
            code == Code::FailedPrecondition,
            "{reason}"
        );
        assert_eq!(stored.lease_holder, None);
        assert_eq!(stored.intent_count, intents, "{reason}");
        // An immediate second call does not reach the provider.
        assert_eq!(refusal(client.get(account.id).await).reason, reason);
        assert_eq!(world.demo.refreshes(Flavour::Google), 1, "{reason}");
    }
}

// R32
#[tokio::test]
async fn retry_after_is_honoured_and_passed_on() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world
        .demo
        .inject(fault().answering(429, "").with_header("Retry-After", "120"));

    let refused = refusal(client.get(account.id).await);

    let retry_after = refused.retry_after.unwrap();
    assert!(retry_after > Duration::from_secs(110), "{retry_after:?}");
    assert!(retry_after < Duration::from_secs(140), "{retry_after:?}");
    world.end_backoff(&account).await;
    assert_eq!(client.get(account.id).await.unwrap().version, 2);
    assert_eq!(world.stored(&account).await.failure_class, None);
}

// R32, WP10: an expired client secret.
#[tokio::test]
async fn an_operators_mistake_marks_no_grant_and_ends_when_it_is_corrected() {
    let world = World::uncached()
        .await
        .with("AUTH_GOOGLE_CLIENT_SECRET", "wrong");
    let account = world.expired(Flavour::Google).await;
    {
        let (_replica, client) = world.served().await;
        let refused = refusal(client.get(account.id).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Internal, "CLIENT_MISCONFIGURED")
        );
    }
    let stored = world.stored(&account).await;
    assert!(stored.auth_failed_at.is_none());
    assert!(world.reauth_events().await.is_empty());

    world.end_backoff(&account).await;
    let mut mended = world;
    mended.variables.clear();
    let (_replica, client) = mended.served().await;
    assert_eq!(client.get(account.id).await.unwrap().version, 2);
}

// R32: no error is answered while the token is still valid.
#[tokio::test]
async fn a_token_that_is_still_valid_is_answered_while_the_refresh_fails() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world
        .connect(Flavour::Google, "ada", Token::Expires(45))
        .await;
    world.demo.inject(fault().times(9).answering(503, ""));
    for _ in 0..3 {
        let token = client.get(account.id).await.unwrap();
        assert_eq!(token.access_token, account.access_token);
    }
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);
}

// R32: consecutive failures prolong the back-off.
#[tokio::test]
async fn the_backoff_grows_with_every_failure() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    // The provider serves others, so the account is the cause.
    let healthy = world.expired(Flavour::Google).await;
    client.get(healthy.id).await.unwrap();
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(fault().times(9).answering(503, ""));
    let mut last = Duration::ZERO;
    for failures in 1..=5 {
        let pause = refusal(client.get(account.id).await).retry_after.unwrap();
        assert!(pause >= last, "{pause:?} after {last:?}");
        last = pause;
        assert_eq!(world.stored(&account).await.failure_count, failures);
        world.end_backoff(&account).await;
    }
    assert!(last > Duration::from_secs(8), "{last:?}");
}

// While the provider serves no grant, the first caller must not wait long after its
// return.
#[tokio::test]
async fn the_backoff_stays_short_while_the_provider_serves_no_grant() {
    let world = World::uncached().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(fault().times(9).answering(503, ""));
    for _ in 0..8 {
        let pause = refusal(client.get(account.id).await).retry_after.unwrap();
        assert!(pause <= Duration::from_secs(5), "{pause:?}");
        world.end_backoff(&account).await;
    }
    world.demo.forget_faults();
    assert_eq!(client.get(account.id).await.unwrap().version, 2);
}

// R32
#[tokio::test]
async fn a_slow_provider_times_out_and_the_lease_is_released() {
    let world = World::new()
        .await
        .with("REFRESH_PROVIDER_DEADLINE", "300ms");
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(fault().delayed_ms(60_000));

    let begun = Instant::now();
    let refused = refusal(client.get(account.id).await);

    assert_eq!(refused.reason, "OUTCOME_UNKNOWN");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(world.stored(&account).await.lease_holder, None);
}

// R32: a provider that was disabled.
#[tokio::test]
async fn a_provider_that_is_not_configured_is_the_operators_error() {
    let world = World::new()
        .await
        .with("AUTH_GOOGLE_ENABLED", "false")
        .with("MESSAGING_PROVIDER_GMAIL_ENABLED", "false");
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    let refused = refusal(client.get(account.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Internal, "CLIENT_MISCONFIGURED")
    );
    assert!(world.stored(&account).await.auth_failed_at.is_none());
}

// R32
#[tokio::test]
async fn missing_scopes_are_named_and_the_provider_is_not_asked() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    let answer = client
        .ask(GetAccessTokenRequest {
            account: Some(crate::support::by_id(account.id.to_string())),
            required_scopes: vec!["mail.send".to_owned(), "mail.read".to_owned()],
            ..GetAccessTokenRequest::default()
        })
        .await;
    let status = answer.clone().unwrap_err();
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["missing_scopes"],
        "mail.send"
    );
    let refused = refusal(answer);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "INSUFFICIENT_SCOPES")
    );
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}

// R5, R32, RP15, WP6: the granted scopes are stored.
#[tokio::test]
async fn scopes_that_the_person_took_back_are_noticed_at_the_next_refresh() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let account = world.expired(Flavour::Google).await;
    world.demo.inject(fault().answering(
        200,
        r#"{"access_token":"narrow","token_type":"Bearer","expires_in":3600,"scope":"openid email"}"#,
    ));
    let token = client.get(account.id).await.unwrap();
    assert_eq!(token.granted_scopes, ["email", "openid"]);
    assert_eq!(
        world.stored(&account).await.granted_scopes,
        ["email", "openid"]
    );
    let answer = client
        .ask(GetAccessTokenRequest {
            account: Some(crate::support::by_id(account.id.to_string())),
            required_scopes: vec!["mail.read".to_owned()],
            ..GetAccessTokenRequest::default()
        })
        .await;
    assert_eq!(refusal(answer).reason, "INSUFFICIENT_SCOPES");
}

// R32
#[tokio::test]
async fn an_unknown_account_and_an_invalid_request_are_distinguished() {
    let world = World::new().await;
    let (_replica, client) = world.served().await;
    let unknown = refusal(client.get(Uuid::new_v4()).await);
    assert_eq!(
        (unknown.code, unknown.reason.as_str()),
        (Code::NotFound, "ACCOUNT_NOT_FOUND")
    );
    let nonsense = [
        client.get("not-a-uuid").await,
        client.ask(GetAccessTokenRequest::default()).await,
        client.get_with_life(Uuid::new_v4(), -5).await,
        client.refused(Uuid::new_v4(), 0).await,
    ];
    for answer in nonsense {
        let refused = refusal(answer);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST")
        );
    }
    let empty = client
        .0
        .clone()
        .refresh_access_token(RefreshAccessTokenRequest::default())
        .await;
    assert_eq!(refusal(empty).code, Code::InvalidArgument);
}
