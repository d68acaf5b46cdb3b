//! The address of the client. An entry of `X-Forwarded-For` is trusted only if a proxy
//! wrote it that the operator named.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use actix_web::HttpRequest;
use actix_web::http::header::X_FORWARDED_FOR;
use ipnet::IpNet;
use latchkey_config::{ConfigError, Environment};

/// Maximum number of entries of the header that are read.
const MAX_HOPS: usize = 32;

/// Networks of the proxies in front of this service.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads `TRUSTED_PROXIES`: addresses and networks, such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// Returns an error if an entry is neither.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        const NAME: &str = "TRUSTED_PROXIES";
        environment
            .list(NAME)?
            .iter()
            .map(|text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| {
                        ConfigError::new(
                            NAME,
                            format!(
                                "must be addresses and networks such as 10.0.0.0/8: {text:?} is \
                                 neither"
                            ),
                        )
                    })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the nearest address that is not a trusted proxy.
    pub fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let forwarded = request.headers().get_all(X_FORWARDED_FOR);
        if self.0.is_empty() {
            let mut forwarded = forwarded;
            if forwarded.next().is_some() {
                warn_once(peer);
            }
            return Some(peer);
        }
        let lines: Vec<&str> = forwarded.filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        Some(self.nearest(peer, hops))
    }

    fn nearest<'a>(&self, peer: IpAddr, hops: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        for hop in hops.take(MAX_HOPS) {
            if !self.trusts(client) {
                break;
            }
            match address_of(hop) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// Parses an entry of the header: an address, with what proxies add to it, such as a port,
/// the brackets of IPv6, or quotes.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let hop = hop
        .strip_prefix('"')
        .and_then(|hop| hop.strip_suffix('"'))
        .unwrap_or(hop);
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare.parse::<IpAddr>().ok();
    address.or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

/// Warns once about a proxy that is not named: all its clients share one rate limit.
fn warn_once(peer: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %peer,
            "a request has X-Forwarded-For and TRUSTED_PROXIES names no proxy: rate limits hold \
             for the peer's address; set TRUSTED_PROXIES if it is your proxy"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(trusted: &str, peer: &str, header: &str) -> String {
        let environment: Environment = [("TRUSTED_PROXIES", trusted)].into_iter().collect();
        TrustedProxies::from_environment(&environment)
            .unwrap()
            .nearest(peer.parse().unwrap(), header.rsplit(','))
            .to_string()
    }

    #[test]
    fn only_named_proxies_are_believed() {
        for (trusted, peer, header, client) in [
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "10.0.0.2", "192.0.2.7", "10.0.0.2"),
            // The entries that the client wrote itself are on the left.
            ("10.0.0.0/8", "10.0.0.1", "1.2.3.4, 192.0.2.7", "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7, 10.9.9.9", "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7, nonsense", "10.0.0.1"),
            (
                "10.0.0.0/8",
                "::ffff:10.0.0.1",
                "2001:db8::1",
                "2001:db8::1",
            ),
            ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
            ("10.0.0.0/8", "10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.0/8", "10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
            (
                "10.0.0.0/8",
                "10.0.0.1",
                "\"[2001:db8::1]:443\"",
                "2001:db8::1",
            ),
            (
                "10.0.0.0/8",
                "10.0.0.1",
                "192.0.2.7:1, 10.9.9.9:65535",
                "192.0.2.7",
            ),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7:99999", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "192.0.2.7:", "10.0.0.1"),
        ] {
            assert_eq!(nearest(trusted, peer, header), client, "{peer} {header}");
        }
    }

    #[test]
    fn what_is_no_network_stops_the_start() {
        let environment: Environment = [("TRUSTED_PROXIES", "10.0.0.0/8, proxy")]
            .into_iter()
            .collect();
        let error = TrustedProxies::from_environment(&environment).unwrap_err();
        assert!(error.to_string().contains("TRUSTED_PROXIES"), "{error}");
    }
}
