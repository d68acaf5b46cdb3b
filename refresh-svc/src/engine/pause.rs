//! How long to leave a provider alone after a failure.

use std::time::Duration;

use latchkey_providers::FailureClass;

/// A hint of the provider is clamped into this.
const SHORTEST_HINT: Duration = Duration::from_secs(1);
const LONGEST_HINT: Duration = Duration::from_hours(1);

/// First pause, doubled with each further failure up to the second.
const THROTTLED: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));
const OPERATORS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));
const PASSING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// Refused for a reason that is not known.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_hours(1));
/// Refused by what an administrator may take back.
const HEALING: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(6));
/// While a provider serves nobody its circuit keeps requests from it, and the first to be
/// served must not wait long after its return.
const LONGEST_IN_OUTAGE: Duration = Duration::from_secs(4);

/// The pause after the failure number `failures` (1 for the first) in a row.
/// `hint` is the provider's `Retry-After`: never less, little more. `jitter` of
/// 0 to 1 keeps accounts from coming back in step.
pub fn pause(class: FailureClass, failures: u32, hint: Option<Duration>, jitter: f64) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    let refused = class.heals() || class == FailureClass::Unknown;
    // A hint is about the provider, and a refusal about the grant.
    if let Some(hint) = hint.filter(|_| !refused) {
        return hint
            .clamp(SHORTEST_HINT, LONGEST_HINT)
            .mul_f64(1.0 + jitter / 10.0);
    }
    let (first, longest) = match class {
        FailureClass::RateLimit => THROTTLED,
        FailureClass::Unknown => REFUSED,
        class if class.heals() => HEALING,
        class if class.is_operators() => OPERATORS,
        _ => PASSING,
    };
    let doublings = failures.saturating_sub(1).min(16);
    let pause = first.saturating_mul(1 << doublings).min(longest);
    // A throttled client comes back later than asked, never earlier.
    if class == FailureClass::RateLimit {
        pause.mul_f64(1.0 + jitter / 4.0)
    } else {
        pause.mul_f64(0.75 + jitter / 4.0)
    }
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
            prop_assert!(pause >= hint.min(LONGEST_HINT));
            prop_assert!(pause <= LONGEST_HINT.mul_f64(1.1));
            prop_assert!(pause >= SHORTEST_HINT);
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
