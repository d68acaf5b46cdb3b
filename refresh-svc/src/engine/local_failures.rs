//! Failures that are specific to this replica and say nothing about the grant: a missing
//! key or provider, its network, or a client that the provider does not accept from it.
//! They are kept in memory, so that other replicas serve the account.

use std::time::Duration;

use latchkey_domain::AccountId;
use latchkey_providers::{Delivery, FailureClass, TokenError};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::store::{Credential, Failure};

/// Limit of remembered accounts. A forgotten account is only retried sooner.
const CAPACITY: usize = 10_000;

/// Returns `true` if a failure is specific to this replica.
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

/// Local failures by account.
#[derive(Debug)]
pub(super) struct LocalFailures(Cache<AccountId, LocalFailure>);

#[derive(Debug, Clone, Copy)]
struct LocalFailure {
    class: FailureClass,
    count: u32,
    /// Version of the credential.
    version: i64,
    until: Instant,
}

impl Default for LocalFailures {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl LocalFailures {
    /// Consecutive failures of this version, including the current one.
    pub(super) fn count(&self, credential: &Credential) -> u32 {
        self.0
            .get(&credential.account)
            .filter(|failure| failure.version == credential.version)
            .map_or(1, |failure| failure.count.saturating_add(1))
    }

    /// Stores a failure: this replica does not ask the provider for `pause`.
    pub(super) fn remember(&self, credential: &Credential, class: FailureClass, pause: Duration) {
        let failure = LocalFailure {
            class,
            count: self.count(credential),
            version: credential.version,
            until: Instant::now() + pause,
        };
        self.0.insert(credential.account, failure);
    }

    /// The failure that applies to this replica: that of the grant, or a local one with
    /// a longer back-off.
    pub(super) fn failure(&self, credential: &Credential) -> Option<Failure> {
        let Some(failure) = self.0.get(&credential.account) else {
            return credential.failure;
        };
        if failure.version != credential.version {
            self.0.remove(&credential.account);
            return credential.failure;
        }
        // As of the read, like the back-off of the row.
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
