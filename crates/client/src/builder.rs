//! Configuration of a client.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};
use tonic::transport::Uri;

use crate::client::TokenClient;
use crate::error::BuildError;
use crate::freshness::{Freshness, Jitter};
use crate::inner::Inner;
use crate::replicas::Replicas;
use crate::request::{MAX_MINIMUM, MAX_WAIT};
use crate::settings::Settings;
use crate::tls::MutualTls;

/// Builds a [`TokenClient`]. Every setting except the address has a default.
#[must_use]
pub struct TokenClientBuilder {
    tls: MutualTls,
    addresses: Vec<String>,
    server_name: Option<String>,
    certificate_reload_interval: Duration,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    freshness: Freshness,
    settings: Settings,
}

impl TokenClient {
    /// Starts the configuration of a client.
    pub fn builder(tls: MutualTls) -> TokenClientBuilder {
        TokenClientBuilder::new(tls)
    }
}

impl TokenClientBuilder {
    fn new(tls: MutualTls) -> Self {
        Self {
            tls,
            addresses: Vec::new(),
            server_name: None,
            certificate_reload_interval: Duration::from_secs(30),
            clock: Arc::new(SystemClock),
            jitter: Jitter::from_process(),
            freshness: Freshness::default(),
            settings: Settings {
                capacity: 10_000,
                watches: 256,
                min_remaining: Duration::from_mins(1),
                within: Duration::from_secs(30),
                fallback_after: Duration::from_secs(1),
                fetch_timeout: Duration::from_secs(40),
                cool_down: Duration::from_secs(30),
                traceparent: None,
            },
        }
    }

    /// Adds the address of a replica, `https://host:port`. Call it once per replica.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Name in the service's certificate if it differs from the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Limit of cached tokens. The least recently used ones are evicted first. Default:
    /// 10 000.
    pub fn capacity(mut self, tokens: usize) -> Self {
        self.settings.capacity = tokens.max(1);
        self
    }

    /// Limit of watched accounts. Each watch is a stream on the existing connections; 0
    /// disables watches. Default: 256, because a replica allows about a thousand for all
    /// its callers. Tokens of other accounts are revalidated by their age.
    pub fn watches(mut self, accounts: usize) -> Self {
        self.settings.watches = accounts;
        self
    }

    /// Minimum remaining life of tokens if the request states none. At most one hour.
    /// Default: 60 s.
    pub fn min_remaining(mut self, least: Duration) -> Self {
        self.settings.min_remaining = least.min(MAX_MINIMUM);
        self
    }

    /// Deadline of requests that state none. Default: 30 s.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.settings.within = deadline.min(MAX_WAIT);
        self
    }

    /// How long a caller waits for a fresher token before it gets the cached one, if
    /// that is valid but below the default minimum. Default: 1 s.
    pub fn fallback_after(mut self, fallback_after: Duration) -> Self {
        self.settings.fallback_after = fallback_after.min(MAX_WAIT);
        self
    }

    /// Deadline of one call to the service. Callers that wait for it have their own
    /// deadlines. Default: 40 s, which is longer than the service waits for a provider.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.settings.fetch_timeout = timeout.min(MAX_WAIT);
        self
    }

    /// A token that replaced a refused one is not replaced again before this time.
    /// Default: 30 s.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.settings.cool_down = cool_down;
        self
    }

    /// Age at which a cached token is revalidated with the service, so that a
    /// disconnected account that is not watched is noticed. Default: 5 min.
    pub fn confirm_after(mut self, age: Duration) -> Self {
        self.freshness.confirm_after = age;
        self
    }

    /// Widest margin before the minimum at which a token in use is refreshed in the
    /// background; 20 % of its life if that is less. Default: 5 min.
    pub fn soft_margin(mut self, margin: Duration) -> Self {
        self.freshness.soft_margin = margin;
        self
    }

    /// Interval at which the files of [`MutualTls::from_files`] are checked. Default: 30
    /// s.
    pub fn certificate_reload_interval(mut self, interval: Duration) -> Self {
        self.certificate_reload_interval = interval;
        self
    }

    /// Source of the current time, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Seed of the jitter, for tests.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter = Jitter::from_seed(seed);
        self
    }

    /// Function that returns the current `traceparent`, so that one trace covers the
    /// caller and the service.
    pub fn traceparent(
        mut self,
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.traceparent = Some(Arc::new(current));
        self
    }

    /// Builds the client within a tokio runtime. It connects at the first call.
    ///
    /// # Errors
    /// Returned if no address was given, an address is invalid, or the certificates are
    /// unusable.
    pub fn build(self) -> Result<TokenClient, BuildError> {
        if self.addresses.is_empty() {
            return Err(BuildError::NoAddress);
        }
        let addresses = self
            .addresses
            .into_iter()
            .map(https)
            .collect::<Result<_, _>>()?;
        let replicas = Replicas::new(
            addresses,
            self.server_name,
            self.tls,
            self.certificate_reload_interval,
        )?;
        Ok(TokenClient::new(Inner::new(
            replicas,
            self.clock,
            self.jitter,
            self.freshness,
            self.settings,
        )))
    }
}

impl std::fmt::Debug for TokenClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenClientBuilder")
            .field("tls", &self.tls)
            .field("addresses", &self.addresses)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Tokens are sent over TLS only.
fn https(address: String) -> Result<Uri, BuildError> {
    match address.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.port().is_some() => Ok(uri),
        _ => Err(BuildError::Address { address }),
    }
}
