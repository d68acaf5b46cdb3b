use super::*;

const DOWN: Outcome = Outcome::Failure {
    class: FailureClass::ProviderUnavailable,
    hint: None,
};

const HEALTHY: AccountHealth = AccountHealth::Healthy;
const FAILING: AccountHealth = AccountHealth::Failing;
const PLAIN: SentRequest = SentRequest {
    health: HEALTHY,
    probe: false,
};

fn probe(health: AccountHealth) -> SentRequest {
    SentRequest {
        health,
        probe: true,
    }
}

fn opened(outcome: Outcome, now: Instant) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::default();
    for source in 0..3 {
        breaker.record(source, PLAIN, outcome, now, 0.0);
    }
    assert!(breaker.rejection(HEALTHY, now).is_some());
    breaker
}

// RF8.
#[test]
fn failures_of_several_accounts_open_it() {
    let now = Instant::now();
    let breaker = opened(DOWN, now);
    let open = breaker.rejection(HEALTHY, now).unwrap();
    assert_eq!(open.class, FailureClass::ProviderUnavailable);
    assert_eq!(open.retry_after, Duration::from_secs(2));
}

// One account never affects the others.
#[test]
fn one_account_that_always_fails_does_not_open_it() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    for _ in 0..100 {
        breaker.record(1, PLAIN, DOWN, now, 0.0);
    }
    assert_eq!(breaker.rejection(HEALTHY, now), None);
}

#[test]
fn a_few_failures_among_successes_do_not_open_it() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    for source in 0..100 {
        let outcome = if source % 3 == 0 {
            DOWN
        } else {
            Outcome::Success
        };
        breaker.record(source, PLAIN, outcome, now, 0.0);
    }
    assert_eq!(breaker.rejection(HEALTHY, now), None);
}

#[test]
fn old_failures_are_forgotten() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    breaker.record(1, PLAIN, DOWN, now, 0.0);
    breaker.record(2, PLAIN, DOWN, now, 0.0);
    breaker.record(3, PLAIN, DOWN, now + WINDOW_AGE, 0.0);
    assert_eq!(breaker.rejection(HEALTHY, now + WINDOW_AGE), None);
}

#[test]
fn one_probe_goes_out_and_closes_it() {
    let now = Instant::now();
    let mut breaker = opened(DOWN, now);
    let later = now + Duration::from_secs(3);
    assert_eq!(breaker.acquire(HEALTHY, later), Ok(true));
    assert!(breaker.acquire(HEALTHY, later).is_err(), "a second probe");
    // The answer to a request from before the opening is not that of a probe.
    assert!(!breaker.record(9, PLAIN, Outcome::Success, later, 0.0));
    assert!(breaker.record(1, probe(HEALTHY), Outcome::Success, later, 0.0));
    assert_eq!(breaker.acquire(HEALTHY, later), Ok(false));
}

// R32: after the provider's return the first caller waits at most five seconds,
// regardless of how long the outage took.
#[test]
fn a_provider_that_is_down_is_probed_every_few_seconds() {
    let now = Instant::now();
    let mut breaker = opened(DOWN, now);
    let mut wait = Duration::from_secs(2);
    let mut at = now;
    for number in 0..100 {
        at += wait;
        assert_eq!(breaker.acquire(HEALTHY, at), Ok(true));
        breaker.abandon(HEALTHY, at);
        assert_eq!(breaker.acquire(HEALTHY, at), Ok(true));
        breaker.record(number, probe(HEALTHY), DOWN, at, 1.0);
        wait = breaker.rejection(HEALTHY, at).unwrap().retry_after;
        assert!(wait <= Duration::from_secs(5), "{wait:?}");
    }
}

// The provider does not answer: another probe is sent while the first one hangs.
#[test]
fn a_probe_that_hangs_is_followed_by_another() {
    let now = Instant::now();
    let mut breaker = opened(DOWN, now);
    let later = now + Duration::from_secs(3);
    assert_eq!(breaker.acquire(HEALTHY, later), Ok(true));
    assert!(breaker.acquire(HEALTHY, later).is_err());
    assert_eq!(breaker.acquire(HEALTHY, later + BETWEEN_PROBES), Ok(true));
}

// RetryInfo causes failing accounts to return just when a probe is allowed.
#[test]
fn an_account_that_fails_keeps_no_sound_one_waiting() {
    let now = Instant::now();
    let mut breaker = opened(DOWN, now);
    let mut at = now + Duration::from_secs(2);
    for source in 0..1_000 {
        if breaker.acquire(FAILING, at).is_ok() {
            breaker.record(source, probe(FAILING), DOWN, at, 1.0);
        }
        assert_eq!(breaker.rejection(HEALTHY, at), None);
        at += Duration::from_millis(10);
    }
    assert_eq!(breaker.acquire(HEALTHY, at), Ok(true));
    assert!(breaker.record(1_000, probe(HEALTHY), Outcome::Success, at, 0.0));
    assert_eq!(breaker.acquire(FAILING, at), Ok(false));
}

// This holds for any number of accounts that failed before.
#[test]
fn accounts_that_failed_before_do_not_open_it() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    let failing = SentRequest {
        health: FAILING,
        probe: false,
    };
    for source in 0..1_000 {
        assert!(!breaker.record(source, failing, DOWN, now, 0.0));
        assert!(!breaker.record(source, PLAIN, Outcome::Ignored, now, 0.0));
    }
    assert_eq!(breaker.rejection(HEALTHY, now), None);
}

// R32
#[test]
fn the_providers_hint_is_honoured_within_bounds() {
    let now = Instant::now();
    let throttled = |seconds| Outcome::Failure {
        class: FailureClass::RateLimit,
        hint: Some(Duration::from_secs(seconds)),
    };
    for (hint, wait) in [(0, 2), (120, 120), (1_000_000, 600)] {
        let breaker = opened(throttled(hint), now);
        let left = breaker.rejection(HEALTHY, now).unwrap().retry_after;
        assert_eq!(left, Duration::from_secs(wait));
    }
}

// The replaced system, 10: an operator's mistake is not counted against accounts.
#[test]
fn a_wrong_client_secret_opens_it_for_longer_and_a_dead_grant_does_not() {
    let now = Instant::now();
    let secret = Outcome::of(&TokenError::of(FailureClass::ClientMisconfigured));
    let left = opened(secret, now)
        .rejection(HEALTHY, now)
        .unwrap()
        .retry_after;
    assert_eq!(left, Duration::from_secs(30));
    for class in FailureClass::ALL {
        if class.is_terminal() {
            assert_eq!(Outcome::of(&TokenError::of(class)), Outcome::Success);
        }
    }
}
