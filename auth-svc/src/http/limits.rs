//! How often one address, and one flow, may ask (GCRA, by `governor`).
//!
//! In memory, per replica: an attacker gets at most the limit times the number
//! of replicas, and nothing is written on an endpoint that anyone can hit.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::middleware::Next;
use actix_web::{Error, web};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use latchkey_config::{ConfigError, Environment};
use latchkey_domain::FlowId;
use tokio_util::sync::CancellationToken;

use crate::app::State;
use crate::http::client_address::TrustedProxies;
use crate::login::flow::FLOW_LIFETIME;
use crate::pages::{self, Explanation, Next as NextStep, Ways};
use crate::session::cors;

/// Requests that one address may make in a minute. A page and a sign-in are
/// about five, and many people share one address.
const PER_ADDRESS: u32 = 600;

/// Callbacks that one flow may have in its ten minutes: one, and some for
/// people who reload.
const PER_FLOW: u32 = 10;

/// Addresses, and flows, that are told apart; more share one limit.
const MAX_KEYS: usize = 100_000;

/// Quiet addresses are forgotten this often.
const SWEEP: Duration = Duration::from_mins(1);

/// Asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asked too often; again in {} s", self.seconds())]
pub struct TooOften(Duration);

impl TooOften {
    /// Whole seconds to wait, one at least.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + 1
    }
}

type Limiter<K> = Option<DefaultKeyedRateLimiter<Option<K>>>;

/// The limits of this process.
#[derive(Debug, Default)]
pub struct Limits {
    proxies: TrustedProxies,
    addresses: Limiter<IpAddr>,
    flows: Limiter<FlowId>,
}

impl Limits {
    /// Reads `RATE_LIMIT_PER_ADDRESS`, `RATE_LIMIT_PER_FLOW` (0: no limit) and
    /// `TRUSTED_PROXIES`.
    ///
    /// # Errors
    /// One is wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let number = |name, default| environment.parsed::<u32>(name, default);
        let addresses = NonZeroU32::new(number("RATE_LIMIT_PER_ADDRESS", PER_ADDRESS)?);
        let flows = NonZeroU32::new(number("RATE_LIMIT_PER_FLOW", PER_FLOW)?);
        let per_lifetime = |burst: NonZeroU32| {
            Quota::with_period(FLOW_LIFETIME / burst.get()).map(|quota| quota.allow_burst(burst))
        };
        Ok(Self {
            proxies: TrustedProxies::from_environment(environment)?,
            addresses: addresses.map(|burst| RateLimiter::dashmap(Quota::per_minute(burst))),
            flows: flows.and_then(per_lifetime).map(RateLimiter::dashmap),
        })
    }

    fn address(&self, request: &ServiceRequest) -> Result<(), TooOften> {
        let address = self.proxies.client(request).map(network_of);
        check(self.addresses.as_ref(), address)
    }

    /// One more callback of this flow.
    ///
    /// # Errors
    /// It had too many.
    pub fn flow(&self, flow: FlowId) -> Result<(), TooOften> {
        check(self.flows.as_ref(), Some(flow))
    }

    /// Forgets who was quiet, until `stop` is cancelled.
    pub async fn sweep(&self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(SWEEP))
            .await
            .is_some()
        {
            if let Some(limiter) = &self.addresses {
                limiter.retain_recent();
            }
            if let Some(limiter) = &self.flows {
                limiter.retain_recent();
            }
        }
    }
}

fn check<K>(
    limiter: Option<&DefaultKeyedRateLimiter<Option<K>>>,
    key: Option<K>,
) -> Result<(), TooOften>
where
    K: Clone + Eq + std::hash::Hash,
{
    let Some(limiter) = limiter else {
        return Ok(());
    };
    let key = key.filter(|_| limiter.len() < MAX_KEYS);
    limiter
        .check_key(&key)
        .map_err(|until| TooOften(until.wait_time_from(DefaultClock::default().now())))
}

/// An IPv6 customer has a whole /64; one limit holds for it.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        four @ IpAddr::V4(_) => four,
    }
}

/// The answer to who asked too often.
pub fn explanation(wait: TooOften) -> Explanation {
    Explanation {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "too_many_requests",
        title: "Too many requests",
        text: format!(
            "Your network or this sign-in asked too often. Nothing was changed. Please try again \
             in {} seconds.",
            wait.seconds()
        ),
        next: NextStep::Again,
    }
}

/// Refuses an address that asks too often. Probes are not counted: they come
/// from where the load balancer's traffic may come from, too.
///
/// # Errors
/// Those of the handler.
pub async fn limit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let probe = matches!(request.path(), "/healthz" | "/readyz" | "/version");
    let refused = request
        .app_data::<web::Data<State>>()
        .filter(|_| !probe)
        .and_then(|state| state.limits.address(&request).err());
    let Some(wait) = refused else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    tracing::warn!(
        error.code = "too_many_requests",
        outcome = "refused",
        "an address asks too often"
    );
    let ways = Ways::of_request(request.request(), None);
    let mut response = refusal(request.request(), wait, &ways);
    cors::readable(request.request(), &mut response);
    Ok(request.into_response(response).map_into_right_body())
}

/// 429 with `Retry-After`.
pub fn refusal(
    request: &actix_web::HttpRequest,
    wait: TooOften,
    ways: &Ways,
) -> actix_web::HttpResponse {
    let mut response = pages::problem_with(request, &explanation(wait), ways);
    response.headers_mut().insert(
        RETRY_AFTER,
        actix_web::http::header::HeaderValue::from(wait.seconds()),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_follows_waits_its_turn() {
        let limiter = RateLimiter::dashmap(Quota::per_minute(NonZeroU32::new(3).unwrap()));
        for _ in 0..3 {
            assert!(check(Some(&limiter), Some(1)).is_ok());
        }
        let wait = check(Some(&limiter), Some(1)).unwrap_err();
        assert!((1..=21).contains(&wait.seconds()), "{wait}");
        assert!(
            check(Some(&limiter), Some(2)).is_ok(),
            "another is not harmed"
        );
        assert!(check::<u8>(None, Some(1)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_customer() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3::"), of("2001:db8:1:2::"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
