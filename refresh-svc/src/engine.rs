//! Valid tokens. Each grant is refreshed once, regardless of the number of callers.
//!
//! Without crashes there is one request to the provider per expiry over all callers and
//! replicas. If a process crashes between the request and the storing of its answer,
//! "exactly once" is impossible: the next holder of the lease knows that a request was
//! sent, and repeats it only as often as the provider's kind of rotation allows (see
//! `refresh.rs` and `verdict.rs`).

mod background;
mod backoff;
mod decision;
mod error;
mod expiry_search;
mod failure;
mod local_failures;
mod lookup;
#[cfg(test)]
mod model;
mod pace;
mod refresh;
mod renewal;
mod revoke;
mod single_flight;
mod storing;
mod timing;
mod verdict;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::metrics::Counter;
use latchkey_domain::{AccountId, Clock};
use latchkey_opening::OpeningKeys;
use latchkey_providers::{FailureClass, Registry};
use time::OffsetDateTime;
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
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::store::{Holder, Lease, Store};
use crate::upstream::{AccountHealth, Permit, Upstream, Upstreams};
use latchkey_service::jitter::Jitter;
use local_failures::LocalFailures;
use single_flight::{RefreshResult, SingleFlight, Waiter};

/// Refreshes that one request may wait for. A further one is needed if another refresh
/// or a reconnect stored a token that does not meet the need; the limit prevents a loop.
const MAX_ROUNDS: usize = 4;

/// Shortest wait before the row of a leased grant is read again.
const MIN_WAIT: Duration = Duration::from_millis(20);

/// Options of one refresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefreshOptions {
    /// A caller requested it although the token is far from its expiry.
    forced: bool,
    /// Claims challenge of the API that refused the token; it is passed to the provider.
    claims: Option<Arc<str>>,
}

/// Dependencies and settings of an engine.
#[derive(Debug)]
pub struct Parts {
    /// Credential store.
    pub store: Store,
    /// Private keys that open grants.
    pub keys: OpeningKeys,
    /// Enabled providers.
    pub providers: Registry,
    /// Limits and circuit breakers of the providers.
    pub upstreams: Upstreams,
    /// Cache of opened tokens.
    pub cache: Arc<Cache>,
    /// Notifies of changes of credentials in any replica.
    pub notifier: ChangeNotifier,
    /// Source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Spreads refreshes in time.
    pub jitter: Jitter,
    /// Durations of the lease and of what is done under it.
    pub timing: Timing,
    /// Accounts requested within this time are refreshed ahead of expiry. Zero disables
    /// this.
    pub ahead_window: Duration,
    /// Limit of concurrent watches.
    pub most_watchers: usize,
}

/// Returns valid tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    refreshes: Arc<SingleFlight>,
    /// Reads of the database: concurrent callers of one account share a read.
    reads: Arc<SingleFlight>,
    tasks: TaskTracker,
    /// Permits for watches.
    watchers: Arc<Semaphore>,
    /// Cancelled at shut-down; ends the watches.
    stopping: CancellationToken,
    cache_hits: Counter,
    /// Identifies this process in leases.
    holder: Arc<Holder>,
    local_failures: Arc<LocalFailures>,
}

impl Engine {
    /// Creates an engine with its own holder identity.
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

    /// The providers that are configured.
    pub(crate) fn providers(&self) -> &Registry {
        &self.parts.providers
    }

    /// Ends the watches, the background refreshes and every refresh that holds no lease.
    /// No lease is acquired from now on. Further calls are answered with what is stored.
    pub fn begin_shutdown(&self) {
        self.stopping.cancel();
    }

    /// Waits for the refreshes and revocations that hold a lease, because a rotated
    /// token that is not stored is lost. Returns `false` if some of them outlast a
    /// lease.
    pub async fn finish(&self) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(self.parts.timing.lease(), self.tasks.wait())
            .await
            .is_ok()
    }

    /// Returns `true` while a task is running.
    #[cfg(test)]
    fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Returns a token that meets the need.
    ///
    /// # Errors
    /// Returned if there is no such token. The error states the reason and when to
    /// retry.
    pub async fn token(
        &self,
        account: AccountId,
        need: &Need,
    ) -> Result<Arc<Snapshot>, EngineError> {
        let mut snapshot = if need.refused_version.is_some() {
            // The cache may still hold the refused token.
            self.read_once(account).outcome().await?
        } else {
            self.snapshot(account).await?
        };
        // A version that was never issued counts as the current one: a caller that
        // reports a wrong version causes one refresh.
        let need = &Need {
            refused_version: need
                .refused_version
                .map(|refused| refused.min(snapshot.version)),
            ..need.clone()
        };
        let mut now = self.parts.clock.now();
        snapshot.last_used.touch(now);
        let mut fresher_than = None;
        for _ in 0..MAX_ROUNDS {
            match decide(&snapshot, need, fresher_than, now) {
                Decision::Answer => return Ok(snapshot),
                Decision::AnswerAndRefresh => {
                    if snapshot.circuit_open().is_none() {
                        drop(self.start_refresh(&snapshot, RefreshOptions::default()));
                    }
                    return Ok(snapshot);
                }
                Decision::Fail(error) => return Err(error),
                Decision::Refresh => {
                    // No request is sent, so the caller is answered at once.
                    let refreshed = if let Some(open) = snapshot.circuit_open() {
                        Err(open.into())
                    } else {
                        let _waiting = metrics::waiting();
                        let options = RefreshOptions {
                            forced: snapshot.has_fresh_token(now),
                            claims: need.claims.clone(),
                        };
                        self.start_refresh(&snapshot, options).outcome().await
                    };
                    match refreshed {
                        Ok(refreshed) => {
                            fresher_than.get_or_insert(snapshot.version);
                            now = self.parts.clock.now();
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

    /// The current time by the engine's clock.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.parts.clock.now()
    }

    /// The refresh ended without a result: a token that is still valid is better than an
    /// error.
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

    /// Starts or joins the refresh that replaces the given snapshot.
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

    /// Acquires the lease for a request with a permit. Returns `None` if another replica has it,
    /// or has refreshed.
    async fn lease(
        &self,
        account: AccountId,
        stale_version: i64,
        permit: Permit,
    ) -> Result<Option<(Lease, Permit)>, EngineError> {
        if self.stopping.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        let (store, life) = (&self.parts.store, self.parts.timing.lease());
        let lease = store
            .acquire_lease(account, self.holder.next(), life, stale_version)
            .await?;
        Ok(lease.map(|lease| (lease, permit)))
    }

    /// Acquires the lease and refreshes under it, or waits for the current holder.
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
        // Created before the first read, so that no change is missed.
        let mut listener = self.parts.notifier.listen(account);
        let timing = self.parts.timing;
        let give_up = Instant::now() + timing.lease() * 2 + timing.poll();
        let mut free = true;
        let mut waiting: Option<metrics::LeaseWait> = None;
        while Instant::now() < give_up {
            if free {
                let left = give_up.saturating_duration_since(Instant::now());
                let permit = tokio::select! {
                    () = self.stopping.cancelled() => return Err(EngineError::Stopping),
                    permit = upstream.acquire(health) => Some(permit?),
                    // Another replica may have refreshed meanwhile.
                    () = listener.changed(left) => None,
                };
                let leased = match permit {
                    Some(permit) => self.lease(account, stale_version, permit).await?,
                    None => None,
                };
                if let Some((lease, permit)) = leased {
                    drop(waiting.take());
                    // The lease statement was running when shut-down began.
                    if self.stopping.is_cancelled() {
                        self.parts.store.release_unused(&lease).await?;
                        return Err(EngineError::Stopping);
                    }
                    let refreshed = self.refresh_under_lease(lease, permit, &options);
                    if let Some(result) = Box::pin(refreshed).await {
                        return result;
                    }
                    continue;
                }
            }
            // Waiting for another holder needs neither a permit nor a fair connection.
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
            waiting.get_or_insert_with(metrics::LeaseWait::begin);
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
