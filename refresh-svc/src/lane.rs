//! The ways to the providers: one per provider, client and tenant, each with its
//! circuit; one bound of requests at once and per second for each provider. So
//! a slow or sick provider takes nothing from the others.

mod circuit;
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

pub use circuit::{Circuit, Sent, Shut, Standing, Verdict};
use refusals::{Burst, Refusals};

use crate::jitter::Jitter;
use crate::numbers;

/// Tenants with a circuit of their own; those of any more share one.
const MOST_TENANTS: usize = 10_000;

/// A provider that served a grant within this time serves.
const LATELY: Duration = Duration::from_mins(2);
/// Seconds between two looks for what is due ahead of expiry.
pub const BETWEEN_LOOKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

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
    /// What it is the gate of: `provider` or `tenant`.
    of: &'static str,
}

impl Gate {
    fn of(what: &'static str) -> Self {
        Self {
            circuit: Mutex::default(),
            of: what,
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
    refusals: Mutex<Refusals>,
    /// When a grant was last served.
    served_at: Mutex<Option<Instant>>,
}

impl Lane {
    /// A lane of its own.
    #[cfg(test)]
    pub fn to_google() -> Arc<Self> {
        let one = NonZeroU32::MIN;
        let limits = Limits {
            concurrency: 1,
            rate: one,
            ahead: one,
        };
        Lanes::new(limits).lane(&ProviderName::GOOGLE.parse().unwrap(), None)
    }

    /// The provider that it leads to.
    pub fn provider(&self) -> &ProviderName {
        &self.road.name
    }

    /// Why no request goes out now for such an account; nothing where one may.
    pub fn shut(&self, standing: Standing) -> Option<Shut> {
        let now = Instant::now();
        self.gates()
            .find_map(|gate| gate.circuit().shut(standing, now))
    }

    /// A grant was served: the provider knows the client.
    pub fn served(&self) {
        *lock(&self.served_at) = Some(Instant::now());
        lock(&self.refusals).served();
    }

    /// Returns `true` if a grant was served lately.
    pub fn serves(&self) -> bool {
        lock(&self.served_at).is_some_and(|at| at.elapsed() < LATELY)
    }

    /// The provider refused the grant of an account for good. Returns `true` if it refuses
    /// the grants of many and serves none: then it is not the accounts.
    pub fn refused(&self, account: AccountId) -> bool {
        let burst = lock(&self.refusals).refused(hash(&account.as_uuid()), Instant::now());
        if burst == Burst::Begins {
            numbers::grants_refused(&self.road.name);
            tracing::error!(
                provider = %self.road.name,
                "the provider refuses the grants of many accounts and serves none: was the \
                 application deleted or revoked there? No grant is marked until one is served"
            );
        }
        burst != Burst::No
    }

    /// True where one more refresh ahead of expiry is within bounds now.
    pub fn allows_ahead(&self, standing: Standing) -> bool {
        self.shut(standing).is_none()
            && self.road.seats.available_permits() > 0
            && self.road.ahead.check().is_ok()
    }

    /// Waits for a seat and the bucket, and passes the circuits.
    ///
    /// # Errors
    /// A circuit is open.
    pub async fn enter(self: &Arc<Self>, standing: Standing) -> Result<Passage, Shut> {
        // At once, whatever the queue.
        if let Some(shut) = self.shut(standing) {
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
            standing,
            probes: Vec::new(),
            _seats: [of_tenant, of_provider],
        };
        let now = Instant::now();
        for gate in self.gates() {
            // What is passed before is given back by the drop.
            let probe = gate.circuit().admit(standing, now)?;
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
    standing: Standing,
    /// Of each gate that was passed, whether this is its probe.
    probes: Vec<bool>,
    _seats: [Option<OwnedSemaphorePermit>; 2],
}

impl Passage {
    /// The way that it leads.
    pub fn lane(&self) -> Arc<Lane> {
        Arc::clone(&self.lane)
    }

    /// Tells what came of the request, and gives the seat back.
    pub fn tell(mut self, account: AccountId, verdict: Verdict, jitter: &Jitter) {
        let lane = Arc::clone(&self.lane);
        let probes = std::mem::take(&mut self.probes);
        let now = Instant::now();
        for (gate, probe) in lane.gates().zip(probes) {
            // A provider is sick where several tenants are; a tenant, or a
            // provider without tenants, where several accounts are.
            let source = match (&lane.tenant, gate.of) {
                (Some(tenant), "provider") => tenant.id,
                _ => hash(&account.as_uuid()),
            };
            let sent = Sent {
                standing: self.standing,
                probe,
            };
            let turned = gate
                .circuit()
                .record(source, sent, verdict, now, jitter.next());
            if turned {
                let open = gate.circuit().shut(Standing::Sound, now);
                numbers::circuit(&lane.road.name, open.is_some());
                tracing::warn!(
                    provider = %lane.road.name,
                    of = gate.of,
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
                gate.circuit().abandon(self.standing, now);
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
        let provider = providers.get(&binding.provider);
        let tenant = provider
            .as_ref()
            .and_then(|provider| provider.tenant_of(&binding.subject));
        self.lane(&binding.provider, tenant)
    }

    fn lane(&self, provider: &ProviderName, tenant: Option<&str>) -> Arc<Lane> {
        let mut lanes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (provider.clone(), tenant.map(|tenant| hash(&tenant)));
        if let Some(lane) = lanes.get(&key) {
            return Arc::clone(lane);
        }
        if lanes.len() >= MOST_TENANTS {
            key.1 = None;
        }
        let road = self.road(provider);
        let lane = lanes.entry(key).or_insert_with_key(|(_, tenant)| {
            Arc::new(Lane {
                road,
                refusals: Mutex::default(),
                served_at: Mutex::default(),
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

    fn road(&self, provider: &ProviderName) -> Arc<Road> {
        let mut roads = self.roads.lock().unwrap_or_else(PoisonError::into_inner);
        let road = roads.entry(provider.clone()).or_insert_with(|| {
            numbers::provider(provider);
            Arc::new(Road {
                name: provider.clone(),
                gate: Gate::of("provider"),
                seats: self.seats(1),
                bucket: RateLimiter::direct(Quota::per_second(self.limits.rate)),
                ahead: RateLimiter::direct(
                    // What is due is looked for now and then, and what one look finds
                    // goes out at once: as much as comes together until the next.
                    Quota::per_second(self.limits.ahead)
                        .allow_burst(self.limits.ahead.saturating_mul(BETWEEN_LOOKS)),
                ),
            })
        });
        Arc::clone(road)
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
#[path = "lane/tests.rs"]
mod tests;
