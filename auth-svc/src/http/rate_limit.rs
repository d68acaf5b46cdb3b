//! Rate limits by client address, by flow and, for logout tokens, by provider and address (GCRA, by
//! `governor`).
//!
//! The state is in memory, in each replica. An attacker gets at most the limit times the
//! number of replicas, and a public endpoint writes nothing to the database.

mod table;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::HttpRequest;
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

/// Logout tokens of one provider from one address in [`LOGOUT_PERIOD`], all at once or 500 a second.
/// All tokens of a provider come from its few addresses, and most providers do not send a refused
/// one again, so that the session would live: a company of ten thousand can end everybody's at once.
/// Requests from elsewhere use nothing of it up.
const LOGOUT_TOKENS: Option<NonZeroU32> = NonZeroU32::new(10_000);
const LOGOUT_PERIOD: Duration = Duration::from_secs(20);

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
    logout_tokens: Option<Tiers<(ProviderName, IpNet), 3>>,
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
                .and_then(|burst| Tiers::new(burst, LOGOUT_PERIOD, MAX_KEYS)),
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
        let client = self.proxies.client(request.request());
        addresses.check(client.map(networks_of))
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

    /// Counts a logout token of this provider, which may be forged.
    ///
    /// # Errors
    /// Returns an error if the address has sent too many of this provider.
    pub fn logout_token(
        &self,
        provider: &ProviderName,
        request: &HttpRequest,
    ) -> Result<(), TooManyRequests> {
        let Some(logout_tokens) = &self.logout_tokens else {
            return Ok(());
        };
        let networks = self.proxies.client(request).map(networks_of);
        logout_tokens.check(networks.map(|all| all.map(|network| (provider.clone(), network))))
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
            if let Some(logout_tokens) = &self.logout_tokens {
                logout_tokens.sweep();
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
    use actix_web::test::TestRequest;

    use super::*;

    // R14: a forged token is counted too, since it is counted before it is verified.
    #[test]
    fn a_company_of_ten_thousand_is_signed_out_at_once_and_strangers_do_not_prevent_it() {
        let limits =
            RateLimits::from_environment(&Environment::default(), Duration::from_mins(10)).unwrap();
        let [acme, globex] = ["acme", "globex"].map(|name| name.parse().unwrap());
        let from = |address: &str| {
            let peer = format!("{address}:443").parse().unwrap();
            TestRequest::default().peer_addr(peer).to_http_request()
        };
        let [provider, stranger] = [from("192.0.2.7"), from("198.51.100.7")];
        let mut flood = (0..100_000).map(|_| limits.logout_token(&acme, &stranger));
        assert!(flood.any(|one| one.is_err()), "a flood ends");
        for _ in 0..10_000 {
            assert_eq!(limits.logout_token(&acme, &provider), Ok(()));
        }
        assert_eq!(limits.logout_token(&globex, &stranger), Ok(()));
    }

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
