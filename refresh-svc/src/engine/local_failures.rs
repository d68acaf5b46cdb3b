//! What keeps this replica from refreshing an account, and says nothing about the
//! grant: a key or a provider that this replica lacks, its network, a client that
//! the provider does not accept from it. It stays in this replica's memory, so that
//! the others serve the account.

use std::time::Duration;

use latchkey_domain::AccountId;
use latchkey_providers::{Delivery, FailureClass, TokenError};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::store::{Credential, Failure};

/// Accounts whose failure is remembered; one that is forgotten is asked for again
/// sooner.
const CAPACITY: usize = 10_000;

/// Returns `true` if a failure is this replica's own and not the grant's.
pub(super) fn is_local(error: &TokenError) -> bool {
    let own_class = matches!(
        error.class,
        FailureClass::Network
            | FailureClass::UnsealFailed
            | FailureClass::ClientMisconfigured
            | FailureClass::Unauthorized
    );
    error.delivery == Delivery::NotSent || own_class
}

/// LocalFailures of this replica, by account.
#[derive(Debug)]
pub(super) struct LocalFailures(Cache<AccountId, LocalFailure>);

#[derive(Debug, Clone, Copy)]
struct LocalFailure {
    class: FailureClass,
    count: u32,
    /// Of which grant.
    version: i64,
    until: Instant,
}

impl Default for LocalFailures {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl LocalFailures {
    /// Failures in a row of this version, the one that is happening counted in.
    pub(super) fn count(&self, credential: &Credential) -> u32 {
        self.0
            .get(&credential.account)
            .filter(|failure| failure.version == credential.version)
            .map_or(1, |failure| failure.count.saturating_add(1))
    }

    /// Remembers one, and leaves the provider alone for `pause`.
    pub(super) fn remember(&self, credential: &Credential, class: FailureClass, pause: Duration) {
        let failure = LocalFailure {
            class,
            count: self.count(credential),
            version: credential.version,
            until: Instant::now() + pause,
        };
        self.0.insert(credential.account, failure);
    }

    /// The failure that counts for this replica: the grant's own, unless a failure
    /// of this replica keeps it from asking for longer.
    pub(super) fn failure(&self, credential: &Credential) -> Option<Failure> {
        let Some(failure) = self.0.get(&credential.account) else {
            return credential.failure;
        };
        if failure.version != credential.version {
            self.0.remove(&credential.account);
            return credential.failure;
        }
        // As long as it was when the row was read, as the row's own pause.
        let left = failure.until.saturating_duration_since(credential.read_at);
        match credential.failure {
            Some(failure) if failure.retry_in >= left => Some(failure),
            failure if left.is_zero() => failure,
            _ => Some(Failure {
                class: failure.class,
                count: failure.count,
                retry_in: left,
            }),
        }
    }
}
