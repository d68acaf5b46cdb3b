//! The upstream of a grant: provider, client and tenant. Each has a circuit breaker, and
//! each provider has a limit of concurrent requests and of requests per second. So a
//! slow or failing provider does not affect the others (bulkhead).

mod circuit_breaker;
mod rate;
mod refusals;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use latchkey_domain::{AccountId, GrantBinding, ProviderName};
use latchkey_providers::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub use circuit_breaker::{AccountHealth, CircuitBreaker, CircuitOpen, Outcome, SentRequest};
use rate::Rate;
use refusals::{Burst, Refusals};

use crate::metrics;
use latchkey_service::jitter::Jitter;

/// Limit of tenants with their own circuit breaker; further tenants share one.
const MAX_TENANTS: usize = 10_000;

/// A provider that served a grant within this time is considered up.
const RECENT: Duration = Duration::from_mins(2);
/// Seconds between two searches for refreshes ahead of expiry.
pub const SEARCH_SECONDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// Limits of one provider in one replica.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Concurrent refreshes: `REFRESH_CONCURRENCY`.
    pub concurrency: u32,
    /// Refreshes per second: `REFRESH_RATE`.
    pub rate: NonZeroU32,
    /// Refreshes ahead of expiry per second: `REFRESH_AHEAD_RATE`.
    pub ahead: NonZeroU32,
}

/// Circuit breaker and limits that all tenants of a provider share.
#[derive(Debug)]
struct ProviderLimits {
    name: ProviderName,
    breaker: ScopedBreaker,
    permits: Arc<Semaphore>,
    rate: Rate,
    ahead: DefaultDirectRateLimiter,
}

/// Circuit breaker and limits of one tenant.
#[derive(Debug)]
struct Tenant {
    id: u64,
    breaker: ScopedBreaker,
    /// Half of the provider's permits: a slow tenant leaves the other half.
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct ScopedBreaker {
    breaker: Mutex<CircuitBreaker>,
    /// Scope of the breaker: `provider` or `tenant`.
    scope: &'static str,
}

impl ScopedBreaker {
    fn new(what: &'static str) -> Self {
        Self {
            breaker: Mutex::default(),
            scope: what,
        }
    }

    fn breaker(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One provider, client and tenant.
#[derive(Debug)]
pub struct Upstream {
    provider: Arc<ProviderLimits>,
    /// `None` if the provider has no tenants.
    tenant: Option<Tenant>,
    refusals: Mutex<Refusals>,
    /// When a grant was last served.
    last_served_at: Mutex<Option<Instant>>,
}

impl Upstream {
    /// An upstream for tests.
    #[cfg(test)]
    pub fn for_google() -> Arc<Self> {
        let one = NonZeroU32::MIN;
        let limits = Limits {
            concurrency: 1,
            rate: one,
            ahead: one,
        };
        Upstreams::new(limits).upstream(&ProviderName::GOOGLE.parse().unwrap(), None)
    }

    /// Name of the provider.
    pub fn provider(&self) -> &ProviderName {
        &self.provider.name
    }

    /// Returns why no request is sent for such an account now. `None` if requests are
    /// sent.
    pub fn circuit_open(&self, health: AccountHealth) -> Option<CircuitOpen> {
        let now = Instant::now();
        self.breakers()
            .find_map(|scoped| scoped.breaker().rejection(health, now))
    }

    /// Records that a grant was served: the provider accepts the client.
    pub fn record_served(&self) {
        *lock(&self.last_served_at) = Some(Instant::now());
        lock(&self.refusals).record_served();
    }

    /// Returns `true` if a grant was served within [`RECENT`].
    pub fn served_recently(&self) -> bool {
        lock(&self.last_served_at).is_some_and(|at| at.elapsed() < RECENT)
    }

    /// Records that the provider finally refused the grant of an account. Returns `true`
    /// during a burst: the provider refuses the grants of many accounts and serves none,
    /// so the cause is not the accounts.
    pub fn record_refused(&self, account: AccountId) -> bool {
        let burst = lock(&self.refusals).record_refused(hash(&account.as_uuid()), Instant::now());
        if burst == Burst::Begins {
            metrics::grants_refused(&self.provider.name);
            tracing::error!(
                provider = %self.provider.name,
                "the provider refuses the grants of many accounts and serves none: was the \
                 application deleted or revoked there? No grant is marked until one is served"
            );
        }
        burst != Burst::No
    }

    /// Returns `true` if another refresh ahead of expiry is within the limits.
    pub fn allows_refresh_ahead(&self, health: AccountHealth) -> bool {
        self.circuit_open(health).is_none()
            && self.provider.permits.available_permits() > 0
            && self.provider.ahead.check().is_ok()
    }

    /// Waits for a permit and for the rate limit, then asks the circuit breakers.
    ///
    /// # Errors
    /// Returned if a circuit breaker is open.
    pub async fn acquire(self: &Arc<Self>, health: AccountHealth) -> Result<Permit, CircuitOpen> {
        // Checked before waiting, so that callers are answered at once.
        if let Some(open) = self.circuit_open(health) {
            return Err(open);
        }
        let of_tenant = match &self.tenant {
            Some(tenant) => Arc::clone(&tenant.permits).acquire_owned().await.ok(),
            None => None,
        };
        let of_provider = Arc::clone(&self.provider.permits)
            .acquire_owned()
            .await
            .ok();
        self.provider.rate.take().await;
        let mut permit = Permit {
            upstream: Arc::clone(self),
            health,
            probes: Vec::new(),
            is_used: false,
            _permits: [of_tenant, of_provider],
        };
        let now = Instant::now();
        for scoped in self.breakers() {
            // On an error, dropping the permit returns the probes that were acquired
            // before.
            let probe = scoped.breaker().acquire(health, now)?;
            permit.probes.push(probe);
        }
        Ok(permit)
    }

    fn breakers(&self) -> impl Iterator<Item = &ScopedBreaker> {
        let tenant = self.tenant.as_ref().map(|tenant| &tenant.breaker);
        std::iter::once(&self.provider.breaker).chain(tenant)
    }
}

/// The permission to send one request.
#[derive(Debug)]
pub struct Permit {
    upstream: Arc<Upstream>,
    health: AccountHealth,
    /// For each circuit breaker, whether this request is its probe.
    probes: Vec<bool>,
    /// Whether a request was sent, and its outcome recorded.
    is_used: bool,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Permit {
    /// The upstream of the request.
    pub fn upstream(&self) -> Arc<Upstream> {
        Arc::clone(&self.upstream)
    }

    /// Records the outcome of the request and returns the permit.
    pub fn record(mut self, account: AccountId, outcome: Outcome, jitter: &Jitter) {
        let upstream = Arc::clone(&self.upstream);
        let probes = std::mem::take(&mut self.probes);
        self.is_used = true;
        let now = Instant::now();
        for (scoped, probe) in upstream.breakers().zip(probes) {
            // The provider's breaker counts failing tenants. A tenant's breaker, and
            // that of a provider without tenants, counts failing accounts.
            let source = match (&upstream.tenant, scoped.scope) {
                (Some(tenant), "provider") => tenant.id,
                _ => hash(&account.as_uuid()),
            };
            let sent = SentRequest {
                health: self.health,
                probe,
            };
            let changed = scoped
                .breaker()
                .record(source, sent, outcome, now, jitter.next());
            if changed {
                let open = scoped.breaker().rejection(AccountHealth::Healthy, now);
                metrics::circuit(&upstream.provider.name, open.is_some());
                tracing::warn!(
                    provider = %upstream.provider.name,
                    scope = scoped.scope,
                    open = open.is_some(),
                    reason = open.map(|open| open.class.reason()),
                    "circuit breaker changed"
                );
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_used {
            self.upstream.provider.rate.give_back();
        }
        let now = Instant::now();
        for (scoped, probe) in self.upstream.breakers().zip(&self.probes) {
            if *probe {
                scoped.breaker().abandon(self.health, now);
            }
        }
    }
}

/// Provider, and tenant if the provider has tenants.
type UpstreamKey = (ProviderName, Option<u64>);

/// All upstreams. They are created on demand and never removed; their number is bounded
/// by [`MAX_TENANTS`].
#[derive(Debug)]
pub struct Upstreams {
    limits: Limits,
    providers: Mutex<HashMap<ProviderName, Arc<ProviderLimits>>>,
    by_tenant: Mutex<HashMap<UpstreamKey, Arc<Upstream>>>,
}

impl Upstreams {
    /// Creates the registry without upstreams.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            providers: Mutex::default(),
            by_tenant: Mutex::default(),
        }
    }

    /// The upstream of a grant.
    pub fn of(&self, binding: &GrantBinding, providers: &Registry) -> Arc<Upstream> {
        let provider = providers.get(&binding.provider);
        let tenant = provider
            .as_ref()
            .and_then(|provider| provider.tenant_of(&binding.subject));
        self.upstream(&binding.provider, tenant)
    }

    fn upstream(&self, provider: &ProviderName, tenant: Option<&str>) -> Arc<Upstream> {
        let mut upstreams = self
            .by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut key = (provider.clone(), tenant.map(|tenant| hash(&tenant)));
        if let Some(upstream) = upstreams.get(&key) {
            return Arc::clone(upstream);
        }
        if upstreams.len() >= MAX_TENANTS {
            key.1 = None;
        }
        let provider = self.provider_limits(provider);
        let upstream = upstreams.entry(key).or_insert_with_key(|(_, tenant)| {
            Arc::new(Upstream {
                provider,
                refusals: Mutex::default(),
                last_served_at: Mutex::default(),
                tenant: tenant.map(|id| Tenant {
                    id,
                    breaker: ScopedBreaker::new("tenant"),
                    permits: self.permits(2),
                }),
            })
        });
        Arc::clone(upstream)
    }

    /// Closes all circuit breakers, as after successful probes.
    #[cfg(test)]
    pub fn close_circuits(&self) {
        let upstreams = self
            .by_tenant
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for scoped in upstreams.values().flat_map(|upstream| upstream.breakers()) {
            *scoped.breaker() = CircuitBreaker::default();
        }
    }

    /// The provider's permits divided by `divisor`.
    fn permits(&self, divisor: u32) -> Arc<Semaphore> {
        let permits = usize::try_from(self.limits.concurrency / divisor).unwrap_or(1);
        Arc::new(Semaphore::new(permits.max(1)))
    }

    fn provider_limits(&self, provider: &ProviderName) -> Arc<ProviderLimits> {
        let mut providers = self
            .providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let provider = providers.entry(provider.clone()).or_insert_with(|| {
            metrics::provider(provider);
            Arc::new(ProviderLimits {
                name: provider.clone(),
                breaker: ScopedBreaker::new("provider"),
                permits: self.permits(1),
                rate: Rate::per_second(self.limits.rate),
                ahead: RateLimiter::direct(
                    // The search runs every [`SEARCH_SECONDS`] and starts everything it
                    // finds at once, so a burst of that many seconds is allowed.
                    Quota::per_second(self.limits.ahead)
                        .allow_burst(self.limits.ahead.saturating_mul(SEARCH_SECONDS)),
                ),
            })
        });
        Arc::clone(provider)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "upstream/tests.rs"]
mod tests;
