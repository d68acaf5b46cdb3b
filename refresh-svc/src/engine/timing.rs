//! Durations of the lease and of what is done under it.

use std::time::Duration;

/// The lease is shorter than what is done under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be longer than the provider's deadline and the time to store the answer together: {0:?} is not longer than {1:?} + {2:?}"
)]
pub struct InvalidTiming(Duration, Duration, Duration);

/// Checked durations. Invariant: the provider's deadline plus the time to store its
/// answer is shorter than the lease, so that no second holder uses the same refresh
/// token while the first one may still use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    provider_deadline: Duration,
    time_to_store: Duration,
    poll: Duration,
}

impl Timing {
    /// Checks the invariant.
    ///
    /// # Errors
    /// Returned if the lease is too short.
    pub fn new(
        lease: Duration,
        provider_deadline: Duration,
        time_to_store: Duration,
        poll: Duration,
    ) -> Result<Self, InvalidTiming> {
        if provider_deadline.saturating_add(time_to_store) < lease {
            Ok(Self {
                lease,
                provider_deadline,
                time_to_store,
                poll,
            })
        } else {
            Err(InvalidTiming(lease, provider_deadline, time_to_store))
        }
    }

    /// Duration of a lease.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// Deadline of the provider's answer.
    pub const fn provider_deadline(&self) -> Duration {
        self.provider_deadline
    }

    /// Time that the provider may take if `left` remains of the lease: the rest is
    /// reserved for storing. `None` if that is less than half of the usual deadline: an
    /// aborted request may lose a rotated token, so it is not sent.
    pub fn time_to_ask(&self, left: Duration) -> Option<Duration> {
        let time = left
            .checked_sub(self.time_to_store)?
            .min(self.provider_deadline);
        (time >= self.provider_deadline / 2).then_some(time)
    }

    /// Storing the answer is retried for at least this long.
    pub const fn time_to_store(&self) -> Duration {
        self.time_to_store
    }

    /// Longest wait for a change notification before the row is read again.
    pub const fn poll(&self) -> Duration {
        self.poll
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // R33: oauth2-proxy #1992, a lock shorter than what it protects. The request and
        // the storing of its answer end within the lease, however late the lease
        // arrived.
        #[test]
        fn what_is_done_under_a_lease_ends_before_it(
            lease in 1u64..100_000, http in 0u64..100_000, store in 0u64..100_000,
            late in 0u64..100_000,
        ) {
            let millis = Duration::from_millis;
            let Ok(timing) = Timing::new(millis(lease), millis(http), millis(store), millis(500))
            else {
                prop_assert!(http + store >= lease);
                return Ok(());
            };
            let left = millis(lease).saturating_sub(millis(late));
            match timing.time_to_ask(left) {
                Some(time) => {
                    prop_assert!(time + timing.time_to_store() <= left);
                    prop_assert!(time <= timing.provider_deadline());
                    prop_assert!(time * 2 >= timing.provider_deadline());
                }
                None => prop_assert!(left < millis(store) + millis(http)),
            }
        }

        // A lease that arrives at once leaves the provider its full deadline.
        #[test]
        fn a_lease_in_time_leaves_the_provider_its_deadline(
            http in 0u64..100_000, store in 0u64..100_000, more in 1u64..1_000,
        ) {
            let millis = Duration::from_millis;
            let timing =
                Timing::new(millis(http + store + more), millis(http), millis(store), millis(500));
            let timing = timing.unwrap();
            prop_assert_eq!(timing.time_to_ask(timing.lease()), Some(timing.provider_deadline()));
        }
    }
}
