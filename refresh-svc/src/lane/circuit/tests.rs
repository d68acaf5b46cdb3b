use super::*;

const DOWN: Verdict = Verdict::Sick {
    class: FailureClass::ProviderUnavailable,
    hint: None,
};

const SOUND: Standing = Standing::Sound;
const FAILING: Standing = Standing::Failing;
const PLAIN: Sent = Sent {
    standing: SOUND,
    probe: false,
};

fn probe(standing: Standing) -> Sent {
    Sent {
        standing,
        probe: true,
    }
}

fn opened(verdict: Verdict, now: Instant) -> Circuit {
    let mut circuit = Circuit::default();
    for source in 0..3 {
        circuit.record(source, PLAIN, verdict, now, 0.0);
    }
    assert!(circuit.shut(SOUND, now).is_some());
    circuit
}

// PEERS, strictly better, 8.
#[test]
fn failures_of_several_accounts_open_it() {
    let now = Instant::now();
    let circuit = opened(DOWN, now);
    let shut = circuit.shut(SOUND, now).unwrap();
    assert_eq!(shut.class, FailureClass::ProviderUnavailable);
    assert_eq!(shut.retry_after, Duration::from_secs(2));
}

// One account never slows the others.
#[test]
fn one_account_that_always_fails_opens_nothing() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    for _ in 0..100 {
        circuit.record(1, PLAIN, DOWN, now, 0.0);
    }
    assert_eq!(circuit.shut(SOUND, now), None);
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
        circuit.record(source, PLAIN, verdict, now, 0.0);
    }
    assert_eq!(circuit.shut(SOUND, now), None);
}

#[test]
fn old_failures_are_forgotten() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    circuit.record(1, PLAIN, DOWN, now, 0.0);
    circuit.record(2, PLAIN, DOWN, now, 0.0);
    circuit.record(3, PLAIN, DOWN, now + OLDEST, 0.0);
    assert_eq!(circuit.shut(SOUND, now + OLDEST), None);
}

#[test]
fn one_probe_goes_out_and_closes_it() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let later = now + Duration::from_secs(3);
    assert_eq!(circuit.admit(SOUND, later), Ok(true));
    assert!(circuit.admit(SOUND, later).is_err(), "a second probe");
    // An answer to a request from before is no probe's.
    assert!(!circuit.record(9, PLAIN, Verdict::Healthy, later, 0.0));
    assert!(circuit.record(1, probe(SOUND), Verdict::Healthy, later, 0.0));
    assert_eq!(circuit.admit(SOUND, later), Ok(false));
}

// R32: the first to be served waits five seconds at most after the provider's return,
// however long it was away.
#[test]
fn a_provider_that_is_down_is_probed_every_few_seconds() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let mut wait = Duration::from_secs(2);
    let mut at = now;
    for number in 0..100 {
        at += wait;
        assert_eq!(circuit.admit(SOUND, at), Ok(true));
        circuit.abandon(SOUND, at);
        assert_eq!(circuit.admit(SOUND, at), Ok(true));
        circuit.record(number, probe(SOUND), DOWN, at, 1.0);
        wait = circuit.shut(SOUND, at).unwrap().retry_after;
        assert!(wait <= Duration::from_secs(5), "{wait:?}");
    }
}

// A provider that does not answer: the probe that hangs is not waited for.
#[test]
fn a_probe_that_hangs_is_followed_by_another() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let later = now + Duration::from_secs(3);
    assert_eq!(circuit.admit(SOUND, later), Ok(true));
    assert!(circuit.admit(SOUND, later).is_err());
    assert_eq!(circuit.admit(SOUND, later + BETWEEN_PROBES), Ok(true));
}

// RetryInfo brings accounts that fail back just when a probe is let through.
#[test]
fn an_account_that_fails_keeps_no_sound_one_waiting() {
    let now = Instant::now();
    let mut circuit = opened(DOWN, now);
    let mut at = now + Duration::from_secs(2);
    for source in 0..1_000 {
        if circuit.admit(FAILING, at).is_ok() {
            circuit.record(source, probe(FAILING), DOWN, at, 1.0);
        }
        assert_eq!(circuit.shut(SOUND, at), None);
        at += Duration::from_millis(10);
    }
    assert_eq!(circuit.admit(SOUND, at), Ok(true));
    assert!(circuit.record(1_000, probe(SOUND), Verdict::Healthy, at, 0.0));
    assert_eq!(circuit.admit(FAILING, at), Ok(false));
}

// However many there are: what fails has failed before.
#[test]
fn accounts_that_failed_before_open_nothing() {
    let now = Instant::now();
    let mut circuit = Circuit::default();
    let failing = Sent {
        standing: FAILING,
        probe: false,
    };
    for source in 0..1_000 {
        assert!(!circuit.record(source, failing, DOWN, now, 0.0));
        assert!(!circuit.record(source, PLAIN, Verdict::Silent, now, 0.0));
    }
    assert_eq!(circuit.shut(SOUND, now), None);
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
        let left = circuit.shut(SOUND, now).unwrap().retry_after;
        assert_eq!(left, Duration::from_secs(wait));
    }
}

// The replaced system, 10: an operator's mistake is no account's.
#[test]
fn a_wrong_client_secret_opens_it_for_longer_and_a_dead_grant_does_not() {
    let now = Instant::now();
    let secret = Verdict::of(&TokenError::of(FailureClass::ClientMisconfigured));
    let left = opened(secret, now).shut(SOUND, now).unwrap().retry_after;
    assert_eq!(left, Duration::from_secs(30));
    for class in FailureClass::ALL {
        if class.is_terminal() {
            assert_eq!(Verdict::of(&TokenError::of(class)), Verdict::Healthy);
        }
    }
}
