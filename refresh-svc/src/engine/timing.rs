//! How long everything may take.

use std::time::Duration;

/// A lease that does not outlast what is done under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be longer than the provider's deadline and the time to store the answer together: {0:?} is not longer than {1:?} + {2:?}"
)]
pub struct InvalidTiming(Duration, Duration, Duration);

/// Checked lengths of time. The invariant: the provider's deadline and the time
/// to store its answer end before the lease does, so that no second holder
/// spends the same refresh token while the first one still may.
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
    /// The lease is too short.
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

    /// Life of a lease.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// The provider's answer is waited for this long.
    pub const fn provider_deadline(&self) -> Duration {
        self.provider_deadline
    }

    /// At least this long the answer's storing is tried.
    pub const fn time_to_store(&self) -> Duration {
        self.time_to_store
    }

    /// A notification that stays away is not waited for longer.
    pub const fn poll(&self) -> Duration {
        self.poll
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // R33: oauth2-proxy #1992, a lock shorter than what it guards.
        #[test]
        fn a_lease_outlasts_what_is_done_under_it(lease in 0u64..100, http in 0u64..100, store in 0u64..100) {
            let second = Duration::from_secs;
            let timing = Timing::new(second(lease), second(http), second(store), second(1));
            prop_assert_eq!(timing.is_ok(), http + store < lease);
        }
    }
}
