//! How often one address, and one flow, may ask (GCRA, by `governor`).
//!
//! In memory, per replica: an attacker gets at most the limit times the number
//! of replicas, and nothing is written on an endpoint that anyone can hit.

mod table;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use ipnet::IpNet;
use latchkey_config::{ConfigError, Environment};
use latchkey_domain::FlowId;
use tokio_util::sync::CancellationToken;

use crate::http::client_address::TrustedProxies;
use table::Tiers;
pub use table::TooOften;

/// Requests that one address may make in a minute. A page and a sign-in are
/// about five, and many people share one address.
const PER_ADDRESS: u32 = 600;

/// Callbacks that one flow may have in its ten minutes: one, and some for
/// people who reload.
const PER_FLOW: u32 = 10;

/// Addresses, networks and flows that are told apart, of each. What comes when
/// they are that many is counted with its wider network.
const MAX_KEYS: usize = 100_000;

/// Bits of the networks that an address is counted by, the narrowest first. An IPv6
/// customer has a whole /64; one limit holds for it.
const NETWORKS: [(u8, u8); 3] = [(32, 64), (24, 48), (16, 32)];

/// Groups of flows where too many are under way. Who starts a flow does not choose
/// its id, and so not its group.
const FLOW_GROUPS: u128 = 4096;

/// Quiet addresses are forgotten this often.
const SWEEP: Duration = Duration::from_mins(1);

/// The limits of this process.
#[derive(Debug, Default)]
pub struct Limits {
    proxies: TrustedProxies,
    addresses: Option<Tiers<IpNet, 3>>,
    flows: Option<Tiers<u128, 2>>,
}

impl Limits {
    /// Reads `RATE_LIMIT_PER_ADDRESS`, `RATE_LIMIT_PER_FLOW` (0: no limit) and
    /// `TRUSTED_PROXIES`. A flow's requests are counted for `flow_lifetime`.
    ///
    /// # Errors
    /// One is wrong.
    pub fn from_environment(
        environment: &Environment,
        flow_lifetime: Duration,
    ) -> Result<Self, ConfigError> {
        let number = |name, default| environment.parsed::<u32>(name, default);
        let addresses = NonZeroU32::new(number("RATE_LIMIT_PER_ADDRESS", PER_ADDRESS)?);
        let flows = NonZeroU32::new(number("RATE_LIMIT_PER_FLOW", PER_FLOW)?);
        let minute = Duration::from_mins(1);
        Ok(Self {
            proxies: TrustedProxies::from_environment(environment)?,
            addresses: addresses.and_then(|burst| Tiers::new(burst, minute, MAX_KEYS)),
            flows: flows.and_then(|burst| Tiers::new(burst, flow_lifetime, MAX_KEYS)),
        })
    }

    /// One more request of this address.
    ///
    /// # Errors
    /// It had too many.
    pub fn address(&self, request: &ServiceRequest) -> Result<(), TooOften> {
        let Some(addresses) = &self.addresses else {
            return Ok(());
        };
        addresses.check(self.proxies.client(request).map(networks_of))
    }

    /// One more callback of this flow.
    ///
    /// # Errors
    /// It had too many.
    pub fn flow(&self, flow: FlowId) -> Result<(), TooOften> {
        let Some(flows) = &self.flows else {
            return Ok(());
        };
        let id = flow.as_uuid().as_u128();
        flows.check(Some([id, id % FLOW_GROUPS]))
    }

    /// Forgets who was quiet, until `stop` is cancelled.
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

/// The networks that an address is counted by, the narrowest first.
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
        // A network of IPv6 is one customer.
        assert_eq!(
            of("2001:db8:1:2:3::4"),
            ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]
        );
    }
}
