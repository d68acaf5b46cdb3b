//! The ways to the providers: one per provider, client and tenant, each with its
//! circuit; one bound of requests at once and per second for each provider. So
//! a slow or sick provider takes nothing from the others.

mod circuit;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use latchkey_domain::{AccountId, GrantBinding, ProviderName};
use latchkey_providers::{ProviderKind, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub use circuit::{Circuit, Shut, Verdict};

use crate::jitter::Jitter;
use crate::numbers;

/// Tenants with a circuit of their own; those of any more share one.
const MOST_TENANTS: usize = 10_000;

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
struct Road {
    name: ProviderName,
    kind: Option<ProviderKind>,
    gate: Gate,
    seats: Arc<Semaphore>,
    bucket: DefaultDirectRateLimiter,
    ahead: DefaultDirectRateLimiter,
}

/// What a tenant has of its own.
#[derive(Debug)]
struct Tenant {
    id: u64,
    gate: Gate,
    /// Half of the provider's: one slow tenant leaves the others as many.
    seats: Arc<Semaphore>,
}

#[derive(Debug)]
struct Gate {
    circuit: Mutex<Circuit>,
    level: &'static str,
}

impl Gate {
    fn of(level: &'static str) -> Self {
        Self {
            circuit: Mutex::default(),
            level,
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to one provider, client and tenant.
#[derive(Debug)]
pub struct Lane {
    road: Arc<Road>,
    /// Absent where the provider has no tenants.
    tenant: Option<Tenant>,
}

impl Lane {
    /// A lane that leads nowhere.
    #[cfg(test)]
    pub fn of_nobody() -> Arc<Self> {
        let one = NonZeroU32::MIN;
        let limits = Limits {
            concurrency: 1,
            rate: one,
            ahead: one,
        };
        Lanes::new(limits).lane(&"nobody".parse().unwrap(), None, None)
    }

    /// Whose quirks the provider has; absent where it is not switched on.
    pub fn kind(&self) -> Option<ProviderKind> {
        self.road.kind
    }

    /// Why no request goes out now; nothing where one may.
    pub fn shut(&self) -> Option<Shut> {
        let now = Instant::now();
        self.gates().find_map(|gate| gate.circuit().shut(now))
    }

    /// True where one more refresh ahead of expiry is within bounds now.
    pub fn allows_ahead(&self) -> bool {
        self.shut().is_none()
            && self.road.seats.available_permits() > 0
            && self.road.ahead.check().is_ok()
    }

    /// Waits for a seat and the bucket, and passes the circuits.
    ///
    /// # Errors
    /// A circuit is open.
    pub async fn enter(self: &Arc<Self>) -> Result<Passage, Shut> {
        // At once, whatever the queue.
        if let Some(shut) = self.shut() {
            return Err(shut);
        }
        let of_tenant = match &self.tenant {
            Some(tenant) => Arc::clone(&tenant.seats).acquire_owned().await.ok(),
            None => None,
        };
        let of_provider = Arc::clone(&self.road.seats).acquire_owned().await.ok();
        self.road.bucket.until_ready().await;
        let mut passage = Passage {
            lane: Arc::clone(self),
            probes: Vec::new(),
            _seats: [of_tenant, of_provider],
        };
        let now = Instant::now();
        for gate in self.gates() {
            // What is passed before is given back by the drop.
            let probe = gate.circuit().admit(now)?;
            passage.probes.push(probe);
        }
        Ok(passage)
    }

    fn gates(&self) -> impl Iterator<Item = &Gate> {
        let tenant = self.tenant.as_ref().map(|tenant| &tenant.gate);
        std::iter::once(&self.road.gate).chain(tenant)
    }
}

/// The right to send one request.
#[derive(Debug)]
pub struct Passage {
    lane: Arc<Lane>,
    /// Of each gate that was passed, whether this is its probe.
    probes: Vec<bool>,
    _seats: [Option<OwnedSemaphorePermit>; 2],
}

impl Passage {
    /// Tells what came of the request, and gives the seat back.
    pub fn tell(mut self, account: AccountId, verdict: Verdict, jitter: &Jitter) {
        let lane = Arc::clone(&self.lane);
        let probes = std::mem::take(&mut self.probes);
        let now = Instant::now();
        for (gate, probe) in lane.gates().zip(probes) {
            // A provider is sick where several tenants are; a tenant, or a
            // provider without tenants, where several accounts are.
            let source = match (&lane.tenant, gate.level) {
                (Some(tenant), "provider") => tenant.id,
                _ => hash(&account.as_uuid()),
            };
            let turned = gate
                .circuit()
                .record(source, probe, verdict, now, jitter.next());
            if turned {
                let open = gate.circuit().shut(now);
                numbers::circuit(&lane.road.name, open.is_some());
                tracing::warn!(
                    provider = %lane.road.name,
                    level = gate.level,
                    open = open.is_some(),
                    reason = open.map(|shut| shut.class.reason()),
                    "circuit"
                );
            }
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let now = Instant::now();
        for (gate, probe) in self.lane.gates().zip(&self.probes) {
            if *probe {
                gate.circuit().abandon(now);
            }
        }
    }
}

/// A provider, and a tenant of it where it has some.
type Place = (ProviderName, Option<u64>);

/// All lanes. Made when they are first needed, kept for good: there are as many
/// as providers and tenants.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    roads: Mutex<HashMap<ProviderName, Arc<Road>>>,
    known: Mutex<HashMap<Place, Arc<Lane>>>,
}

impl Lanes {
    /// No lanes yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            roads: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The lane of a grant.
    pub fn of(&self, binding: &GrantBinding, providers: &Registry) -> Arc<Lane> {
        let kind = providers
            .get(&binding.provider)
            .map(|provider| provider.kind());
        // `<tid>/<oid>`
        let tenant = match kind {
            Some(ProviderKind::Microsoft) => binding.subject.as_str().split_once('/'),
            _ => None,
        };
        self.lane(&binding.provider, kind, tenant.map(|(tenant, _)| tenant))
    }

    fn lane(
        &self,
        provider: &ProviderName,
        kind: Option<ProviderKind>,
        tenant: Option<&str>,
    ) -> Arc<Lane> {
        let mut lanes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (provider.clone(), tenant.map(|tenant| hash(&tenant)));
        if let Some(lane) = lanes.get(&key) {
            return Arc::clone(lane);
        }
        if lanes.len() >= MOST_TENANTS {
            key.1 = None;
        }
        let road = self.road(provider, kind);
        let lane = lanes.entry(key).or_insert_with_key(|(_, tenant)| {
            Arc::new(Lane {
                road,
                tenant: tenant.map(|id| Tenant {
                    id,
                    gate: Gate::of("tenant"),
                    seats: self.seats(2),
                }),
            })
        });
        Arc::clone(lane)
    }

    /// As if the waits of all circuits were over and the providers well.
    #[cfg(test)]
    pub fn close_circuits(&self) {
        let lanes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for gate in lanes.values().flat_map(|lane| lane.gates()) {
            *gate.circuit() = Circuit::default();
        }
    }

    /// A share of the seats: all by one, half by two.
    fn seats(&self, divisor: u32) -> Arc<Semaphore> {
        let seats = usize::try_from(self.limits.concurrency / divisor).unwrap_or(1);
        Arc::new(Semaphore::new(seats.max(1)))
    }

    fn road(&self, provider: &ProviderName, kind: Option<ProviderKind>) -> Arc<Road> {
        let mut roads = self.roads.lock().unwrap_or_else(PoisonError::into_inner);
        let road = roads.entry(provider.clone()).or_insert_with(|| {
            numbers::provider(provider);
            Arc::new(Road {
                name: provider.clone(),
                kind,
                gate: Gate::of("provider"),
                seats: self.seats(1),
                bucket: RateLimiter::direct(Quota::per_second(self.limits.rate)),
                ahead: RateLimiter::direct(
                    // A second's worth at once, no more: callers come first.
                    Quota::per_second(self.limits.ahead),
                ),
            })
        });
        Arc::clone(road)
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "lane/tests.rs"]
mod tests;
