//! Errors say who must act (R32).

use std::time::Duration;

use latchkey_client::{Reason, TokenError, TokenRequest};
use tonic::{Code, Status};

use crate::support::{World, status};

async fn answered(answer: Status) -> TokenError {
    let world = World::create().await;
    world.state.fail_always(Some(answer));
    let request = TokenRequest::new(world.account).within(Duration::from_millis(300));
    world.client().access_token(request).await.unwrap_err()
}

// R32, R34
#[tokio::test]
async fn a_dead_grant_asks_for_the_person_and_says_why() {
    for name in [
        "INVALID_REFRESH_TOKEN",
        "NO_REFRESH_TOKEN",
        "ROTATION_LOST",
        "REAUTH_POLICY",
        "INTERACTION_REQUIRED",
        "CONSENT_REQUIRED",
        "BLOCKED_BY_ADMIN",
        "ACCOUNT_DISABLED",
        "A_REASON_OF_TOMORROW",
    ] {
        let error = answered(status(Code::FailedPrecondition, name, None, &[])).await;
        let TokenError::SignInAgain { reason, .. } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(reason.as_str(), name);
    }
}

// R32
#[tokio::test]
async fn missing_scopes_and_a_claims_challenge_are_passed_on() {
    let answer = status(
        Code::FailedPrecondition,
        "INSUFFICIENT_SCOPES",
        None,
        &[("missing_scopes", "a b"), ("claims", "{}")],
    );
    let TokenError::SignInAgain {
        reason,
        missing_scopes,
        claims,
    } = answered(answer).await
    else {
        panic!("no sign-in asked for");
    };
    assert_eq!(reason, Reason::InsufficientScopes);
    assert_eq!(missing_scopes.to_string(), "a b");
    assert_eq!(claims.as_deref(), Some("{}"));
}

// R32
#[tokio::test]
async fn a_temporary_failure_says_when_to_ask_again() {
    for (code, name) in [
        (Code::ResourceExhausted, "RATE_LIMIT_ERROR"),
        (Code::Unavailable, "PROVIDER_UNAVAILABLE"),
        (Code::Unavailable, "STORE_UNAVAILABLE"),
        (Code::DeadlineExceeded, "STILL_REFRESHING"),
        (Code::Unknown, "UNKNOWN"),
    ] {
        let error = answered(status(code, name, Some(Duration::from_secs(9)), &[])).await;
        let TokenError::RetryLater { reason, after } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(reason.as_str(), name);
        assert!(after > Duration::from_secs(8), "{name}: {after:?}");
    }
}

// R32
#[tokio::test]
async fn an_operator_s_mistake_is_told_apart_from_the_person_s_grant() {
    for name in [
        "UNAUTHORIZED",
        "CLIENT_MISCONFIGURED",
        "REQUEST_REJECTED",
        "SCOPE_INVALID",
        "UNSEAL_FAILED",
    ] {
        let error = answered(status(Code::Internal, name, None, &[])).await;
        let TokenError::OperatorProblem { reason, .. } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!(reason.as_str(), name);
    }
}

// R36
#[tokio::test]
async fn a_caller_without_the_right_is_told_so() {
    let denied = answered(status(Code::PermissionDenied, "NOT_ALLOWED", None, &[])).await;
    assert!(matches!(denied, TokenError::NotAllowed { .. }), "{denied}");
    let unknown = answered(Status::unauthenticated("who are you")).await;
    assert!(
        matches!(unknown, TokenError::NotAllowed { .. }),
        "{unknown}"
    );
}

// R32
#[tokio::test]
async fn a_missing_account_and_a_wrong_request_are_told_apart() {
    let missing = answered(status(Code::NotFound, "ACCOUNT_NOT_FOUND", None, &[])).await;
    assert_eq!(missing, TokenError::NotFound);
    let wrong = answered(status(Code::InvalidArgument, "INVALID_REQUEST", None, &[])).await;
    assert!(
        matches!(wrong, TokenError::InvalidRequest { .. }),
        "{wrong}"
    );
    let ambiguous = status(Code::FailedPrecondition, "ACCOUNT_AMBIGUOUS", None, &[]);
    let ambiguous = answered(ambiguous).await;
    assert!(matches!(ambiguous, TokenError::InvalidRequest { .. }));
}

// R32: only the service's own details count.
#[tokio::test]
async fn details_of_another_domain_are_not_believed() {
    use tonic_types::{ErrorDetails, StatusExt as _};
    let details = ErrorDetails::with_error_info("INVALID_REFRESH_TOKEN", "example.com", []);
    let answer = Status::with_error_details(Code::Internal, "a proxy", details);
    let error = answered(answer).await;
    assert!(
        matches!(error, TokenError::OperatorProblem { .. }),
        "{error}"
    );
}

// R34
#[tokio::test]
async fn a_dead_grant_removes_the_cached_token() {
    let world = World::create().await;
    let client = world.client();
    client.access_token(world.account).await.unwrap();
    world.advance(301);
    world.state.fail_once(status(
        Code::FailedPrecondition,
        "INVALID_REFRESH_TOKEN",
        None,
        &[],
    ));
    client.access_token(world.account).await.unwrap_err();
    assert_eq!(client.cached_accounts(), 0);
    client.access_token(world.account).await.unwrap();
    assert_eq!(
        world.state.gets(),
        3,
        "after the next sign-in it works again"
    );
}
