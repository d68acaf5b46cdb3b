//! Back-off after a failure of the provider.

use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_providers::FailureClass;

/// Bounds of the provider's `Retry-After`. Jitter only lengthens it.
const HINTS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1))
    .unwrap()
    .lengthened_by(10);

/// A throttled client must never return earlier than asked.
const THROTTLED: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(15))
    .unwrap()
    .lengthened_by(25);
const OPERATORS: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(10))
    .unwrap()
    .shortened_by(25);
const PASSING: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5))
    .unwrap()
    .shortened_by(25);
/// Refused for an unknown reason.
const REFUSED: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_hours(1))
    .unwrap()
    .shortened_by(25);
/// Refused for a reason that an administrator can withdraw.
const WITHDRAWABLE: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(6))
    .unwrap()
    .shortened_by(25);
/// While a provider serves no grant, its circuit breaker limits the requests, so the
/// back-off can stay short: the first caller must not wait long after its return.
const MAX_IN_OUTAGE: Duration = Duration::from_secs(4);

/// The back-off after `failures` failures in a row. `hint` is the provider's
/// `Retry-After`: the result is never shorter and at most a tenth longer. `jitter` (0 to
/// 1) spreads the retries of accounts.
pub fn backoff(
    class: FailureClass,
    failures: u32,
    hint: Option<Duration>,
    jitter: f64,
) -> Duration {
    let refused = class.heals() || class == FailureClass::Unknown;
    // A `Retry-After` is about the provider, and a refusal is about the grant.
    if let Some(hint) = hint.filter(|_| !refused) {
        return HINTS.wait_as_hinted(hint, jitter);
    }
    let backoff = match class {
        FailureClass::RateLimit => THROTTLED,
        FailureClass::Unknown => REFUSED,
        class if class.heals() => WITHDRAWABLE,
        class if class.is_operators() => OPERATORS,
        _ => PASSING,
    };
    backoff.wait(failures, jitter)
}

/// The back-off while the provider serves no grant.
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
            prop_assert!(backoff >= hint.min(Duration::from_hours(1)));
            prop_assert!(backoff <= Duration::from_hours(1).mul_f64(1.1));
            prop_assert!(backoff >= Duration::from_secs(1));
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
