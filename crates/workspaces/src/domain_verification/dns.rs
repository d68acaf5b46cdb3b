//! Lookup of TXT records, behind a trait that tests can implement.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use latchkey_config::{ConfigError, Environment};

/// The variable that names the name servers to use instead of the machine's.
const RESOLVERS: &str = "DNS_RESOLVERS";

/// Returned if the name servers gave no usable response.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the name servers do not respond: {0}")]
pub struct DnsError(pub String);

/// A source of TXT records.
#[async_trait]
pub trait TxtRecords: fmt::Debug + Send + Sync {
    /// Returns the values of a name's TXT records; an empty list if there are none.
    ///
    /// # Errors
    /// Returns an error if the name servers gave no usable response.
    async fn of(&self, name: &str) -> Result<Vec<String>, DnsError>;
}

/// The name servers of the machine, or those of `DNS_RESOLVERS`.
#[derive(Clone)]
pub struct NameServers(Result<TokioResolver, DnsError>);

impl fmt::Debug for NameServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameServers")
    }
}

impl NameServers {
    /// Reads the variable, or else the machine's configuration, without a DNS request. If
    /// the machine has no such configuration, only lookups fail.
    ///
    /// # Errors
    /// Returns an error if the variable is invalid.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let named: Vec<SocketAddr> = environment
            .list(RESOLVERS)?
            .iter()
            .map(|text| {
                text.parse().map_err(|_| {
                    ConfigError::new(
                        RESOLVERS,
                        "must be IP addresses with a port, such as 10.0.0.53:53",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let builder = if named.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = named.into_iter().map(server).collect();
            Ok(TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), servers),
                TokioRuntimeProvider::default(),
            ))
        };
        let resolver = builder.and_then(|mut builder| {
            // Responses are not cached, so that a new record is found at once.
            builder.options_mut().cache_size = 0;
            builder.build()
        });
        Ok(Self(resolver.map_err(|error| DnsError(error.to_string()))))
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

#[async_trait]
impl TxtRecords for NameServers {
    async fn of(&self, name: &str) -> Result<Vec<String>, DnsError> {
        // The trailing dot prevents the use of the machine's search list.
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        let found = match resolver.txt_lookup(format!("{name}.")).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(DnsError(error.to_string())),
        };
        Ok(found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                // A long value consists of several strings (RFC 7208 section 3.3).
                RData::TXT(text) => Some(
                    text.txt_data
                        .iter()
                        .map(|piece| String::from_utf8_lossy(piece))
                        .collect(),
                ),
                _ => None,
            })
            .collect())
    }
}
