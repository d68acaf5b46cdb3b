//! Rate limits by client address and by flow (GCRA, by `governor`).
//!
//! The state is in memory, in each replica. An attacker gets at most the limit times the
//! number of replicas, and a public endpoint writes nothing to the database.

mod table;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use ipnet::IpNet;
use latchkey_config::{ConfigErrors, Environment, read_all};
use latchkey_domain::{FlowId, ProviderName};
use tokio_util::sync::CancellationToken;

use crate::http::client_address::TrustedProxies;
use table::Tiers;
pub use table::TooManyRequests;

/// Requests per minute from one address. A sign-in takes about five requests, and many
/// people may share one address.
const PER_ADDRESS: u32 = 600;

/// Callbacks of one flow in its ten minutes. A flow needs one; some people reload the page.
const PER_FLOW: u32 = 10;

/// Logout tokens per second from one provider. They all come from its few addresses, which are not
/// limited: ten thousand people who are signed out at once take twenty seconds.
const LOGOUT_TOKENS: Option<NonZeroU32> = NonZeroU32::new(500);

/// Bounds of both limits; 0 switches one off.
const LIMITS: RangeInclusive<u32> = 0..=1_000_000;

/// Maximum number of addresses, of networks and of flows in a table. If a table is full, a
/// new key is counted with its wider network or group.
const MAX_KEYS: usize = 100_000;

/// Prefix lengths (IPv4, IPv6) of the networks that an address is counted by, the narrowest
/// first. An IPv6 customer has a whole /64, so one limit holds for it.
const NETWORKS: [(u8, u8); 3] = [(32, 64), (24, 48), (16, 32)];

/// Number of groups of flows, for a full table of flows. The server chooses the id of a
/// flow, so a client cannot choose its group.
const FLOW_GROUPS: u128 = 4096;

/// Interval at which idle keys are deleted.
const SWEEP: Duration = Duration::from_mins(1);

/// The rate limits of this process.
#[derive(Debug, Default)]
pub struct RateLimits {
    proxies: TrustedProxies,
    addresses: Option<Tiers<IpNet, 3>>,
    flows: Option<Tiers<u128, 2>>,
    logout_tokens: Option<Tiers<ProviderName, 1>>,
}

impl RateLimits {
    /// Reads `RATE_LIMIT_PER_ADDRESS`, `RATE_LIMIT_PER_FLOW` (0: no limit) and
    /// `TRUSTED_PROXIES`. The callbacks of a flow are counted for `flow_lifetime`.
    ///
    /// # Errors
    /// Returns the variables that are wrong.
    pub fn from_environment(
        environment: &Environment,
        flow_lifetime: Duration,
    ) -> Result<Self, ConfigErrors> {
        read_all! {
            let addresses = environment.number("RATE_LIMIT_PER_ADDRESS", PER_ADDRESS, LIMITS);
            let flows = environment.number("RATE_LIMIT_PER_FLOW", PER_FLOW, LIMITS);
            let proxies = TrustedProxies::from_environment(environment);
        }
        let minute = Duration::from_mins(1);
        let (addresses, flows) = (NonZeroU32::new(addresses), NonZeroU32::new(flows));
        Ok(Self {
            proxies,
            addresses: addresses.and_then(|burst| Tiers::new(burst, minute, MAX_KEYS)),
            flows: flows.and_then(|burst| Tiers::new(burst, flow_lifetime, MAX_KEYS)),
            logout_tokens: LOGOUT_TOKENS
                .and_then(|burst| Tiers::new(burst, Duration::from_secs(1), MAX_KEYS)),
        })
    }

    /// Counts a request of this address.
    ///
    /// # Errors
    /// Returns an error if the address has made too many requests.
    pub fn address(&self, request: &ServiceRequest) -> Result<(), TooManyRequests> {
        let Some(addresses) = &self.addresses else {
            return Ok(());
        };
        addresses.check(self.proxies.client(request).map(networks_of))
    }

    /// Counts a callback of this flow.
    ///
    /// # Errors
    /// Returns an error if the flow has had too many callbacks.
    pub fn flow(&self, flow: FlowId) -> Result<(), TooManyRequests> {
        let Some(flows) = &self.flows else {
            return Ok(());
        };
        let id = flow.as_uuid().as_u128();
        flows.check(Some([id, id % FLOW_GROUPS]))
    }

    /// Counts a logout token of this provider.
    ///
    /// # Errors
    /// Returns an error if the provider has sent too many.
    pub fn logout_token(&self, provider: &ProviderName) -> Result<(), TooManyRequests> {
        let Some(logout_tokens) = &self.logout_tokens else {
            return Ok(());
        };
        logout_tokens.check(Some([provider.clone()]))
    }

    /// Deletes idle keys at an interval until `stop` is cancelled.
    pub async fn sweep(&self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(SWEEP))
            .await
            .is_some()
        {
            if let Some(addresses) = &self.addresses {
                addresses.sweep();
            }
            if let Some(flows) = &self.flows {
                flows.sweep();
            }
        }
    }
}

/// Returns the networks that an address is counted by, the narrowest first.
fn networks_of(address: IpAddr) -> [IpNet; 3] {
    let address = address.to_canonical();
    NETWORKS.map(|(four, six)| {
        let bits = if address.is_ipv4() { four } else { six };
        IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |network| network.trunc())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_by_its_networks() {
        let of = |text: &str| networks_of(text.parse().unwrap()).map(|net| net.to_string());
        assert_eq!(
            of("192.0.2.7"),
            ["192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"]
        );
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        // An IPv6 network of 64 bits is one customer.
        assert_eq!(
            of("2001:db8:1:2:3::4"),
            ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]
        );
    }
}
