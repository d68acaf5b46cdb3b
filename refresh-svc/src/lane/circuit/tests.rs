use super::*;

const DOWN: Verdict = Verdict::Sick {
    class: FailureClass::ProviderUnavailable,
    hint: None,
};

fn opened(verdict: Verdict, now: Instant) -> Circuit {
    let mut circuit = Circuit::default();
    for source in 0..3 {
        circuit.record(source, false, verdict, now, 0.0);
    }
    assert!(circuit.shut(now).is_some());
    circuit
}

// PEERS, strictly better, 8.
#[test]
fn failures_of_several_accounts_open_it() {
    let now = Instant::now();
    let circuit = opened(DOWN, now);
    let shut = circuit.shut(now).unwrap();
    assert_eq!(shut.class, FailureClass::ProviderUnavailable);
    assert_eq!(shut.retry_after, Duration::from_secs(2));
}

// One account never slows the others.
#[test]
fn one_account_that_always_fails_opens_nothing() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    for _ in 0..100 {
        circuit.record(1, false, DOWN, now, 0.0);
    }
    assert_eq!(circuit.shut(now), None);
}

#[test]
fn a_few_failures_among_successes_open_nothing() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    for source in 0..100 {
        let verdict = if source % 3 == 0 {
            DOWN
        } else {
            Verdict::Healthy
        };
        circuit.record(source, false, verdict, now, 0.0);
    }
    assert_eq!(circuit.shut(now), None);
}

#[test]
fn old_failures_are_forgotten() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    circuit.record(1, false, DOWN, now, 0.0);
    circuit.record(2, false, DOWN, now, 0.0);
    circuit.record(3, false, DOWN, now + OLDEST, 0.0);
    assert_eq!(circuit.shut(now + OLDEST), None);
}

#[test]
fn one_probe_goes_out_and_closes_it() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let later = now + Duration::from_secs(3);
    assert_eq!(circuit.admit(later), Ok(true));
    assert!(circuit.admit(later).is_err(), "a second probe");
    // An answer to a request from before is no probe's.
    assert!(!circuit.record(9, false, Verdict::Healthy, later, 0.0));
    assert!(circuit.record(1, true, Verdict::Healthy, later, 0.0));
    assert_eq!(circuit.admit(later), Ok(false));
}

#[test]
fn a_probe_that_fails_doubles_the_wait_and_one_that_is_not_sent_is_made_good() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let mut wait = Duration::from_secs(2);
    let mut at = now;
    for _ in 0..10 {
        at += wait;
        assert_eq!(circuit.admit(at), Ok(true));
        circuit.abandon(at);
        assert_eq!(circuit.admit(at), Ok(true));
        circuit.record(1, true, DOWN, at, 0.0);
        wait = (wait * 2).min(Duration::from_mins(1));
        assert_eq!(circuit.shut(at).unwrap().retry_after, wait);
    }
}

// R32
#[test]
fn the_providers_hint_is_honoured_within_bounds() {
    let now = Instant::now();
    let throttled = |seconds| Verdict::Sick {
        class: FailureClass::RateLimit,
        hint: Some(Duration::from_secs(seconds)),
    };
    for (hint, wait) in [(0, 2), (120, 120), (1_000_000, 600)] {
        let circuit = opened(throttled(hint), now);
        let left = circuit.shut(now).unwrap().retry_after;
        assert_eq!(left, Duration::from_secs(wait));
    }
}

// The replaced system, 10: an operator's mistake is no account's.
#[test]
fn a_wrong_client_secret_opens_it_for_longer_and_a_dead_grant_does_not() {
    let now = Instant::now();
    let secret = Verdict::of(&TokenError::of(FailureClass::ClientMisconfigured));
    let left = opened(secret, now).shut(now).unwrap().retry_after;
    assert_eq!(left, Duration::from_secs(30));
    for class in FailureClass::ALL {
        if class.is_terminal() {
            assert_eq!(Verdict::of(&TokenError::of(class)), Verdict::Healthy);
        }
    }
}
