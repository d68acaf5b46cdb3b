//! How long to leave a provider alone after a failure.

use std::time::Duration;

use latchkey_providers::FailureClass;

/// A hint of the provider is clamped into this.
const MIN_HINT: Duration = Duration::from_secs(1);
const MAX_HINT: Duration = Duration::from_hours(1);

/// First backoff, doubled with each further failure up to the second.
const THROTTLED: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));
const OPERATORS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));
const PASSING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// Refused for a reason that is not known.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_hours(1));
/// Refused by what an administrator may take back.
const WITHDRAWABLE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(6));
/// While a provider serves nobody its circuit keeps requests from it, and the first to be
/// served must not wait long after its return.
const MAX_IN_OUTAGE: Duration = Duration::from_secs(4);

/// The backoff after the failure number `failures` (1 for the first) in a row.
/// `hint` is the provider's `Retry-After`: never less, little more. `jitter` of
/// 0 to 1 keeps accounts from coming back in step.
pub fn backoff(
    class: FailureClass,
    failures: u32,
    hint: Option<Duration>,
    jitter: f64,
) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    let refused = class.heals() || class == FailureClass::Unknown;
    // A hint is about the provider, and a refusal about the grant.
    if let Some(hint) = hint.filter(|_| !refused) {
        return hint.clamp(MIN_HINT, MAX_HINT).mul_f64(1.0 + jitter / 10.0);
    }
    let (first, longest) = match class {
        FailureClass::RateLimit => THROTTLED,
        FailureClass::Unknown => REFUSED,
        class if class.heals() => WITHDRAWABLE,
        class if class.is_operators() => OPERATORS,
        _ => PASSING,
    };
    let doublings = failures.saturating_sub(1).min(16);
    let backoff = first.saturating_mul(1 << doublings).min(longest);
    // A throttled client comes back later than asked, never earlier.
    if class == FailureClass::RateLimit {
        backoff.mul_f64(1.0 + jitter / 4.0)
    } else {
        backoff.mul_f64(0.75 + jitter / 4.0)
    }
}

/// The same while the provider serves nobody.
pub fn backoff_in_outage(
    class: FailureClass,
    failures: u32,
    hint: Option<Duration>,
    jitter: f64,
) -> Duration {
    let backoff = backoff(class, failures, hint, jitter);
    let outage = matches!(
        class,
        FailureClass::ProviderUnavailable
            | FailureClass::Network
            | FailureClass::OutcomeUnknown
            | FailureClass::MalformedResponse
    );
    if outage && hint.is_none() {
        backoff.min(MAX_IN_OUTAGE)
    } else {
        backoff
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // R32
    #[test]
    fn a_throttled_client_without_a_hint_waits_a_minute() {
        assert!(backoff(FailureClass::RateLimit, 1, None, 0.0) >= Duration::from_mins(1));
    }

    proptest! {
        // R32
        #[test]
        fn a_hint_is_honoured_within_bounds(
            seconds in 0u64..100_000, failures in 0u32..100, jitter in 0.0f64..1.0,
        ) {
            let hint = Duration::from_secs(seconds);
            let backoff = backoff(FailureClass::RateLimit, failures, Some(hint), jitter);
            prop_assert!(backoff >= hint.min(MAX_HINT));
            prop_assert!(backoff <= MAX_HINT.mul_f64(1.1));
            prop_assert!(backoff >= MIN_HINT);
        }

        #[test]
        fn the_backoff_grows_and_is_bounded(failures in 0u32..1000, jitter in 0.0f64..1.0) {
            for class in FailureClass::ALL {
                let one = backoff(class, failures, None, jitter);
                let next = backoff(class, failures + 1, None, jitter);
                prop_assert!(one <= next);
                prop_assert!(next <= Duration::from_hours(6));
                prop_assert!(one >= Duration::from_millis(700));
            }
        }
    }
}
