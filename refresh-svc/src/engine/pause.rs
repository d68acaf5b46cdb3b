//! How long to leave a provider alone after a failure.

use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_providers::FailureClass;

/// Bounds of the provider's hint. Jitter only lengthens it.
const HINTS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1))
    .unwrap()
    .lengthened_by(10);

/// A throttled client comes back later than asked, never earlier.
const THROTTLED: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(15))
    .unwrap()
    .lengthened_by(25);
const OPERATORS: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(10))
    .unwrap()
    .shortened_by(25);
const PASSING: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5))
    .unwrap()
    .shortened_by(25);
/// Refused for a reason that is not known.
const REFUSED: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_hours(1))
    .unwrap()
    .shortened_by(25);
/// Refused by what an administrator may take back.
const HEALING: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(6))
    .unwrap()
    .shortened_by(25);
/// While a provider serves nobody its circuit keeps requests from it, and the first to be
/// served must not wait long after its return.
const LONGEST_IN_OUTAGE: Duration = Duration::from_secs(4);

/// The pause after the failure number `failures` (1 for the first) in a row.
/// `hint` is the provider's `Retry-After`: never less, little more. `jitter` of
/// 0 to 1 keeps accounts from coming back in step.
pub fn pause(class: FailureClass, failures: u32, hint: Option<Duration>, jitter: f64) -> Duration {
    let refused = class.heals() || class == FailureClass::Unknown;
    // A hint is about the provider, and a refusal about the grant.
    if let Some(hint) = hint.filter(|_| !refused) {
        return HINTS.wait_as_hinted(hint, jitter);
    }
    let backoff = match class {
        FailureClass::RateLimit => THROTTLED,
        FailureClass::Unknown => REFUSED,
        class if class.heals() => HEALING,
        class if class.is_operators() => OPERATORS,
        _ => PASSING,
    };
    backoff.wait(failures, jitter)
}

/// The same while the provider serves nobody.
pub fn pause_in_outage(
    class: FailureClass,
    failures: u32,
    hint: Option<Duration>,
    jitter: f64,
) -> Duration {
    let pause = pause(class, failures, hint, jitter);
    let outage = matches!(
        class,
        FailureClass::ProviderUnavailable
            | FailureClass::Network
            | FailureClass::OutcomeUnknown
            | FailureClass::MalformedResponse
    );
    if outage && hint.is_none() {
        pause.min(LONGEST_IN_OUTAGE)
    } else {
        pause
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // R32
    #[test]
    fn a_throttled_client_without_a_hint_waits_a_minute() {
        assert!(pause(FailureClass::RateLimit, 1, None, 0.0) >= Duration::from_mins(1));
    }

    proptest! {
        // R32
        #[test]
        fn a_hint_is_honoured_within_bounds(
            seconds in 0u64..100_000, failures in 0u32..100, jitter in 0.0f64..1.0,
        ) {
            let hint = Duration::from_secs(seconds);
            let pause = pause(FailureClass::RateLimit, failures, Some(hint), jitter);
            prop_assert!(pause >= hint.min(Duration::from_hours(1)));
            prop_assert!(pause <= Duration::from_hours(1).mul_f64(1.1));
            prop_assert!(pause >= Duration::from_secs(1));
        }

        #[test]
        fn a_pause_grows_and_ends(failures in 0u32..1000, jitter in 0.0f64..1.0) {
            for class in FailureClass::ALL {
                let one = pause(class, failures, None, jitter);
                let next = pause(class, failures + 1, None, jitter);
                prop_assert!(one <= next);
                prop_assert!(next <= Duration::from_hours(6));
                prop_assert!(one >= Duration::from_millis(700));
            }
        }
    }
}
