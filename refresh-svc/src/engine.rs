//! Valid tokens, each grant refreshed once, however many ask.
//!
//! Promise: one request at the provider per expiry, over any number of callers
//! and replicas, absent a crash. Over a crash between the request and the
//! storing of its answer exactly once is impossible: then the next holder of
//! the lease knows that a request was sent, and sends at most as many more as
//! the provider's kind of rotation forgives (see `spend.rs`).

mod background;
mod backoff;
mod decision;
mod error;
mod failure;
mod local_failures;
mod lookup;
#[cfg(test)]
mod model;
mod refresh;
mod renewal;
mod revoke;
mod single_flight;
mod timing;
mod verdict;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::metrics::Counter;
use latchkey_domain::{AccountId, Clock};
use latchkey_opening::OpeningKeys;
use latchkey_providers::{FailureClass, Registry};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use backoff::backoff;
pub use decision::{Decision, Need, decide, shortfall};
pub use error::EngineError;
pub use revoke::Revoked;
pub use timing::{InvalidTiming, Timing};
pub use watch::Watch;

use crate::cache::Cache;
use crate::change_notifications::ChangeNotifier;
use crate::jitter::Jitter;
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::store::{Holder, Store};
use crate::upstream::{AccountHealth, Upstream, Upstreams};
use local_failures::LocalFailures;
use refresh::LeaseOutcome;
use single_flight::{RefreshResult, SingleFlight, Waiter};

/// SingleFlight that one request may wait for. A further one is for what another
/// flight or a reconnect stored meanwhile and is no better; more would be a loop.
const MAX_ROUNDS: usize = 4;

/// Between two looks at a lease that is about to end.
const MIN_WAIT: Duration = Duration::from_millis(20);

/// What a refresh is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefreshOptions {
    /// A caller wants it although the token is far from its end.
    forced: bool,
    /// The claims challenge of an API that refused the token, for the provider.
    claims: Option<Arc<str>>,
}

/// What an engine works with.
#[derive(Debug)]
pub struct Parts {
    /// The credentials.
    pub store: Store,
    /// Private keys.
    pub keys: OpeningKeys,
    /// Providers that are switched on.
    pub providers: Registry,
    /// Ways to them.
    pub upstreams: Upstreams,
    /// Opened tokens.
    pub cache: Arc<Cache>,
    /// Rings when a credential changes, in any replica.
    pub notifier: ChangeNotifier,
    /// Tells when tokens expire.
    pub clock: Arc<dyn Clock>,
    /// Spreads refreshes.
    pub jitter: Jitter,
    /// How long everything may take.
    pub timing: Timing,
    /// Accounts that were asked for within this time are refreshed ahead of
    /// expiry; zero switches that off.
    pub ahead_window: Duration,
    /// Watchers of accounts at once.
    pub most_watchers: usize,
}

/// Hands out tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    refreshes: Arc<SingleFlight>,
    /// Reads of the database: a row that many ask for is read once.
    reads: Arc<SingleFlight>,
    tasks: TaskTracker,
    /// Places for watchers.
    watchers: Arc<Semaphore>,
    /// Ends the watches: the service stops.
    stopping: CancellationToken,
    cache_hits: Counter,
    /// Names this process in a lease.
    holder: Arc<Holder>,
    local_failures: Arc<LocalFailures>,
}

impl Engine {
    /// An engine of its own identity.
    pub fn new(parts: Parts) -> Self {
        Self {
            watchers: Arc::new(Semaphore::new(parts.most_watchers)),
            stopping: CancellationToken::new(),
            cache_hits: metrics::lookups("cache"),
            parts: Arc::new(parts),
            refreshes: Arc::default(),
            reads: Arc::default(),
            tasks: TaskTracker::new(),
            holder: Arc::new(Holder::new()),
            local_failures: Arc::default(),
        }
    }

    /// Ends the watches, the refreshing ahead and every flight that holds no lease:
    /// from now on none is taken. Calls may still come, and are answered with what
    /// is stored.
    pub fn begin_shutdown(&self) {
        self.stopping.cancel();
    }

    /// Waits for the refreshes and revocations that hold a lease: a rotated token
    /// that is not stored is lost. Returns `false` if some outlast a lease.
    pub async fn finish(&self) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(self.parts.timing.lease(), self.tasks.wait())
            .await
            .is_ok()
    }

    /// Returns `true` while something is under upstream.
    #[cfg(test)]
    fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// A token that meets the need.
    ///
    /// # Errors
    /// There is none; the error says why and when to ask again.
    pub async fn token(
        &self,
        account: AccountId,
        need: &Need,
    ) -> Result<Arc<Snapshot>, EngineError> {
        let mut snapshot = if need.refused_version.is_some() {
            // The cache may hold just the token that was refused.
            self.read_once(account).outcome().await?
        } else {
            self.snapshot(account).await?
        };
        // A version that was never given counts as the present one: a caller
        // that lies causes one refresh, and is answered.
        let need = &Need {
            refused_version: need
                .refused_version
                .map(|refused| refused.min(snapshot.version)),
            ..need.clone()
        };
        let now = self.parts.clock.now();
        snapshot.last_used.touch(now);
        let mut fresher_than = None;
        for _ in 0..MAX_ROUNDS {
            match decide(&snapshot, need, fresher_than, self.parts.clock.now()) {
                Decision::Answer => return Ok(snapshot),
                Decision::AnswerAndRefresh => {
                    if snapshot.circuit_open().is_none() {
                        drop(self.start_refresh(&snapshot, RefreshOptions::default()));
                    }
                    return Ok(snapshot);
                }
                Decision::Fail(error) => return Err(error),
                Decision::Refresh => {
                    // At once where no request goes out.
                    let refreshed = if let Some(open) = snapshot.circuit_open() {
                        Err(open.into())
                    } else {
                        let _waiting = metrics::waiting();
                        let options = RefreshOptions {
                            forced: snapshot.has_fresh_token(self.parts.clock.now()),
                            claims: need.claims.clone(),
                        };
                        self.start_refresh(&snapshot, options).outcome().await
                    };
                    match refreshed {
                        Ok(refreshed) => {
                            fresher_than.get_or_insert(snapshot.version);
                            refreshed.last_used.touch(now);
                            snapshot = refreshed;
                        }
                        Err(error) => return self.fall_back(snapshot, need, error),
                    }
                }
            }
        }
        Err(EngineError::StillRefreshing)
    }

    /// Why a token that is answered is less than what was asked for.
    pub(crate) fn shortfall(&self, snapshot: &Snapshot, need: &Need) -> Option<&'static str> {
        shortfall(snapshot, need, self.parts.clock.now())
    }

    /// The refresh did not come to an outcome: a token that is still valid
    /// serves more than an error.
    fn fall_back(
        &self,
        snapshot: Arc<Snapshot>,
        need: &Need,
        error: EngineError,
    ) -> Result<Arc<Snapshot>, EngineError> {
        let passing = match &error {
            EngineError::StoreUnavailable
            | EngineError::StillRefreshing
            | EngineError::Stopping => true,
            EngineError::NoToken { class, .. } => !class.is_terminal(),
            _ => false,
        };
        let refused = need
            .refused_version
            .is_some_and(|refused| snapshot.version <= refused);
        if passing && !refused && snapshot.valid_token(self.parts.clock.now()).is_some() {
            Ok(snapshot)
        } else {
            Err(error)
        }
    }

    /// The flight that replaces what was seen.
    fn start_refresh(&self, seen: &Snapshot, options: RefreshOptions) -> Waiter {
        let (account, stale_version) = (seen.account, seen.version);
        self.refreshes.join(account, &self.tasks, || {
            let engine = self.clone();
            let upstream = (Arc::clone(&seen.upstream), seen.health());
            let span = tracing::info_span!("refresh", account.id = %account);
            engine
                .refresh(account, stale_version, upstream, options)
                .instrument(span)
        })
    }

    /// A flight: takes the lease and spends it, or waits for who holds it.
    async fn refresh(
        self,
        account: AccountId,
        stale_version: i64,
        (upstream, health): (Arc<Upstream>, AccountHealth),
        options: RefreshOptions,
    ) -> RefreshResult {
        if self.stopping.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        // Before the first look, so that no change is missed.
        let mut listener = self.parts.notifier.listen(account);
        let timing = self.parts.timing;
        let give_up = Instant::now() + timing.lease() * 2 + timing.poll();
        let mut free = true;
        while Instant::now() < give_up {
            if free {
                let acquired = tokio::time::timeout_at(give_up, upstream.acquire(health));
                let Some(acquired) = self.stopping.run_until_cancelled(acquired).await else {
                    return Err(EngineError::Stopping);
                };
                let Ok(permit) = acquired else {
                    break;
                };
                let permit = permit?;
                if self.stopping.is_cancelled() {
                    return Err(EngineError::Stopping);
                }
                let lease = self
                    .parts
                    .store
                    .acquire_lease(account, self.holder.next(), timing.lease(), stale_version)
                    .await?;
                if let Some(lease) = lease {
                    // It was under upstream when the service was asked to stop.
                    if self.stopping.is_cancelled() {
                        self.parts.store.release_unused(&lease).await?;
                        return Err(EngineError::Stopping);
                    }
                    match Box::pin(self.refresh_under_lease(lease, permit, &options)).await {
                        LeaseOutcome::Done(outcome) => return outcome,
                        LeaseOutcome::TooLate => continue,
                    }
                }
            }
            // Who waits for another's refresh takes no seat and no turn.
            let credential = self
                .parts
                .store
                .read(account)
                .await?
                .ok_or(EngineError::AccountNotFound)?;
            if credential.version > stale_version || !credential.may_refresh() {
                return Ok(self.open_and_cache(&credential));
            }
            if credential.sealed_refresh_token.is_none() {
                return self
                    .mark_dead(&credential, None, FailureClass::NoRefreshToken.into())
                    .await;
            }
            let held_for = credential.lease_left;
            free = held_for <= MIN_WAIT;
            let changed = listener.changed(held_for.min(timing.poll()).max(MIN_WAIT));
            if self.stopping.run_until_cancelled(changed).await.is_none() {
                return Err(EngineError::Stopping);
            }
        }
        Err(EngineError::StillRefreshing)
    }
}
