use std::sync::Arc;

use latchkey_domain::{AccessToken, ScopeSet};
use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::snapshot::RefreshHistory;
use crate::store::Failure;
use crate::upstream::Upstream;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

fn snapshot(life: u64, remaining: u64) -> Snapshot {
    let life = Duration::from_secs(life);
    let token = HeldToken {
        token: AccessToken::new("t"),
        expires_at: NOW + Duration::from_secs(remaining),
        life,
        soft_margin: (life / 5).min(Duration::from_mins(5)),
    };
    Snapshot {
        account: Uuid::from_u128(1).into(),
        granted_scopes: Arc::new(ScopeSet::parse("mail.read openid")),
        version: 7,
        ..Snapshot::with_token(token, &Upstream::for_google())
    }
}

fn need(min_remaining: u64) -> Need {
    Need {
        min_remaining: Duration::from_secs(min_remaining),
        scopes: ScopeSet::default(),
        refused_version: None,
        claims: None,
    }
}

fn failing(mut snapshot: Snapshot, class: FailureClass, retry_in: u64) -> Snapshot {
    let failure = Failure {
        class,
        count: 1,
        retry_in: Duration::from_secs(retry_in),
    };
    snapshot.history = Some(Box::new(RefreshHistory {
        failure: Some(failure),
        ..RefreshHistory::default()
    }));
    snapshot
}

// R30
#[test]
fn a_token_with_life_enough_is_answered() {
    let decision = decide(&snapshot(3600, 1800), &need(60), None, NOW);
    assert_eq!(decision, Decision::Answer);
}

// R30
#[test]
fn inside_the_soft_margin_nobody_waits() {
    let decision = decide(&snapshot(3600, 200), &need(60), None, NOW);
    assert_eq!(decision, Decision::AnswerAndRefresh);
}

// R30
#[test]
fn past_the_asked_life_the_caller_waits() {
    assert_eq!(
        decide(&snapshot(3600, 59), &need(60), None, NOW),
        Decision::Refresh
    );
    assert_eq!(
        decide(&snapshot(3600, 0), &need(0), None, NOW),
        Decision::Refresh
    );
}

// R30: the provider's tokens live 300 s; 3600 s are requested.
#[test]
fn more_life_than_the_provider_issues_does_not_refresh_for_every_call() {
    let fresh = snapshot(300, 290);
    assert_eq!(decide(&fresh, &need(3600), None, NOW), Decision::Answer);
    let aged = snapshot(300, 200);
    assert_eq!(decide(&aged, &need(3600), None, NOW), Decision::Refresh);
    assert_eq!(decide(&aged, &need(3600), Some(6), NOW), Decision::Answer);
}

// R32
#[test]
fn missing_scopes_are_named() {
    let need = Need {
        scopes: ScopeSet::parse("mail.read mail.send calendars.read"),
        ..need(0)
    };
    assert_eq!(
        decide(&snapshot(3600, 1800), &need, None, NOW),
        Decision::Fail(EngineError::InsufficientScopes(vec![
            "calendars.read".to_owned(),
            "mail.send".to_owned()
        ]))
    );
}

// R34
#[test]
fn a_dead_grant_is_answered_at_once() {
    let mut snapshot = failing(snapshot(3600, 1800), FailureClass::ReauthPolicy, 0);
    snapshot.dead = true;
    assert_eq!(
        decide(&snapshot, &need(60), None, NOW),
        Decision::Fail(EngineError::no_token(FailureClass::ReauthPolicy))
    );
}

// R32: an error must not be answered while the token is still valid.
#[test]
fn a_valid_token_is_served_while_the_refresh_fails() {
    let snapshot = failing(snapshot(3600, 30), FailureClass::ProviderUnavailable, 20);
    assert_eq!(decide(&snapshot, &need(60), None, NOW), Decision::Answer);
}

// R32
#[test]
fn during_the_backoff_the_provider_is_not_asked() {
    let throttled = failing(snapshot(3600, 0), FailureClass::RateLimit, 20);
    let Decision::Fail(EngineError::NoToken {
        class, retry_after, ..
    }) = decide(&throttled, &need(60), None, NOW)
    else {
        panic!("must fail");
    };
    assert_eq!(class, FailureClass::RateLimit);
    assert!(retry_after.is_some_and(|after| after <= Duration::from_secs(20)));
}

// R32
#[test]
fn after_the_backoff_the_provider_is_asked_again() {
    let snapshot = failing(snapshot(3600, 0), FailureClass::RateLimit, 0);
    assert_eq!(decide(&snapshot, &need(60), None, NOW), Decision::Refresh);
}

// R30
#[test]
fn a_refused_token_is_not_answered_and_a_newer_one_is() {
    let refused = |version| Need {
        refused_version: Some(version),
        ..need(0)
    };
    let snapshot = snapshot(3600, 1800);
    assert_eq!(decide(&snapshot, &refused(7), None, NOW), Decision::Refresh);
    assert_eq!(decide(&snapshot, &refused(6), None, NOW), Decision::Answer);
    let failing = failing(snapshot, FailureClass::ProviderUnavailable, 20);
    assert!(matches!(
        decide(&failing, &refused(7), None, NOW),
        Decision::Fail(_)
    ));
}

fn forced_lately() -> RefreshHistory {
    RefreshHistory {
        force_in: Duration::from_secs(50),
        ..RefreshHistory::default()
    }
}

// A caller forces at most one refresh a minute, whichever method it uses.
#[test]
fn a_refresh_is_not_forced_twice_within_a_minute() {
    let lately = Snapshot {
        history: Some(Box::new(forced_lately())),
        ..snapshot(3600, 3590)
    };
    let refused = Need {
        refused_version: Some(7),
        ..need(60)
    };
    for need in [need(3598), refused] {
        assert_eq!(decide(&lately, &need, None, NOW), Decision::Answer);
        assert_eq!(shortfall(&lately, &need, NOW), Some(REFRESHED_LATELY));
        let once = snapshot(3600, 3590);
        assert_eq!(decide(&once, &need, None, NOW), Decision::Refresh);
    }
    assert_eq!(shortfall(&lately, &need(60), NOW), None);
    // A token that is about to expire is refreshed anyway.
    let ending = Snapshot {
        history: Some(Box::new(forced_lately())),
        ..snapshot(3600, 30)
    };
    assert_eq!(decide(&ending, &need(60), None, NOW), Decision::Refresh);
}

proptest! {
    // R30: an expired token is never answered.
    #[test]
    fn an_expired_token_is_never_answered(
        life in 1u64..8000, min in 0u64..4000, version in proptest::option::of(0i64..9), pause in 0u64..100,
    ) {
        let snapshot = failing(snapshot(life, 0), FailureClass::Network, pause);
        let decision = decide(&snapshot, &need(min), version, NOW);
        prop_assert!(!matches!(decision, Decision::Answer | Decision::AnswerAndRefresh));
    }

    // R30: without a failure, an answered token lives as long as requested, or as long
    // as the provider's tokens do.
    #[test]
    fn an_answer_lives_as_long_as_asked(life in 1u64..8000, left in 0u64..8000, min in 0u64..4000) {
        let remaining = left.min(life);
        let decision = decide(&snapshot(life, remaining), &need(min), None, NOW);
        if matches!(decision, Decision::Answer | Decision::AnswerAndRefresh) {
            prop_assert!(remaining >= min || (min >= life && remaining * 5 + 5 >= life * 4));
        } else {
            prop_assert_eq!(decision, Decision::Refresh);
        }
    }
}
