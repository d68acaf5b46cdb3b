//! The ways to the providers: one per provider, client and tenant, each with its
//! circuit; one bound of requests at once and per second for each provider. So
//! a slow or failed provider takes nothing from the others.

mod circuit_breaker;
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
use refusals::{Burst, Refusals};

use crate::jitter::Jitter;
use crate::metrics;

/// Tenants with a circuit of their own; those of any more share one.
const MAX_TENANTS: usize = 10_000;

/// A provider that served a grant within this time serves.
const RECENT: Duration = Duration::from_mins(2);
/// Seconds between two looks for what is due ahead of expiry.
pub const SEARCH_SECONDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// Bounds of one provider, in one replica.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Refreshes at once: `REFRESH_CONCURRENCY`.
    pub concurrency: u32,
    /// Refreshes per second: `REFRESH_RATE`.
    pub rate: NonZeroU32,
    /// Of these, refreshes ahead of expiry: `REFRESH_AHEAD_RATE`.
    pub ahead: NonZeroU32,
}

/// What all tenants of a provider share.
#[derive(Debug)]
struct ProviderLimits {
    name: ProviderName,
    breaker: ScopedBreaker,
    permits: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
    ahead: DefaultDirectRateLimiter,
}

/// What a tenant has of its own.
#[derive(Debug)]
struct Tenant {
    id: u64,
    breaker: ScopedBreaker,
    /// Half of the provider's: one slow tenant leaves the others as many.
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct ScopedBreaker {
    breaker: Mutex<CircuitBreaker>,
    /// What it is the scoped of: `provider` or `tenant`.
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

/// The way to one provider, client and tenant.
#[derive(Debug)]
pub struct Upstream {
    provider: Arc<ProviderLimits>,
    /// Absent where the provider has no tenants.
    tenant: Option<Tenant>,
    refusals: Mutex<Refusals>,
    /// When a grant was last served.
    last_served_at: Mutex<Option<Instant>>,
}

impl Upstream {
    /// A upstream of its own.
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

    /// The provider that it leads to.
    pub fn provider(&self) -> &ProviderName {
        &self.provider.name
    }

    /// Why no request goes out now for such an account; nothing where one may.
    pub fn circuit_open(&self, health: AccountHealth) -> Option<CircuitOpen> {
        let now = Instant::now();
        self.breakers()
            .find_map(|scoped| scoped.breaker().rejection(health, now))
    }

    /// A grant was served: the provider knows the client.
    pub fn record_served(&self) {
        *lock(&self.last_served_at) = Some(Instant::now());
        lock(&self.refusals).record_served();
    }

    /// Returns `true` if a grant was served lately.
    pub fn served_recently(&self) -> bool {
        lock(&self.last_served_at).is_some_and(|at| at.elapsed() < RECENT)
    }

    /// The provider refused the grant of an account for good. Returns `true` if it refuses
    /// the grants of many and serves none: then it is not the accounts.
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

    /// True where one more refresh ahead of expiry is within bounds now.
    pub fn allows_refresh_ahead(&self, health: AccountHealth) -> bool {
        self.circuit_open(health).is_none()
            && self.provider.permits.available_permits() > 0
            && self.provider.ahead.check().is_ok()
    }

    /// Waits for a permit and the rate, and passes the circuits.
    ///
    /// # Errors
    /// A circuit is open.
    pub async fn acquire(self: &Arc<Self>, health: AccountHealth) -> Result<Permit, CircuitOpen> {
        // At once, whatever the queue.
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
        self.provider.rate.until_ready().await;
        let mut permit = Permit {
            upstream: Arc::clone(self),
            health,
            probes: Vec::new(),
            _permits: [of_tenant, of_provider],
        };
        let now = Instant::now();
        for scoped in self.breakers() {
            // What is passed before is given back by the drop.
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

/// The right to send one request.
#[derive(Debug)]
pub struct Permit {
    upstream: Arc<Upstream>,
    health: AccountHealth,
    /// Of each scoped that was passed, whether this is its probe.
    probes: Vec<bool>,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Permit {
    /// The way that it leads.
    pub fn upstream(&self) -> Arc<Upstream> {
        Arc::clone(&self.upstream)
    }

    /// Tells what came of the request, and gives the permit back.
    pub fn record(mut self, account: AccountId, outcome: Outcome, jitter: &Jitter) {
        let upstream = Arc::clone(&self.upstream);
        let probes = std::mem::take(&mut self.probes);
        let now = Instant::now();
        for (scoped, probe) in upstream.breakers().zip(probes) {
            // A provider is failed where several tenants are; a tenant, or a
            // provider without tenants, where several accounts are.
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
                    "circuit"
                );
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        for (scoped, probe) in self.upstream.breakers().zip(&self.probes) {
            if *probe {
                scoped.breaker().abandon(self.health, now);
            }
        }
    }
}

/// A provider, and a tenant of it where it has some.
type UpstreamKey = (ProviderName, Option<u64>);

/// All upstreams. Made when they are first needed, kept for good: there are as many
/// as providers and tenants.
#[derive(Debug)]
pub struct Upstreams {
    limits: Limits,
    providers: Mutex<HashMap<ProviderName, Arc<ProviderLimits>>>,
    by_tenant: Mutex<HashMap<UpstreamKey, Arc<Upstream>>>,
}

impl Upstreams {
    /// No upstreams yet.
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

    /// As if the waits of all circuits were over and the providers well.
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

    /// A share of the permits: all by one, half by two.
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
                rate: RateLimiter::direct(Quota::per_second(self.limits.rate)),
                ahead: RateLimiter::direct(
                    // What is due is looked for now and then, and what one look finds
                    // goes out at once: as much as comes together until the next.
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
