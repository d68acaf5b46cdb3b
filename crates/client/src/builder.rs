//! How a client is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{Clock, SystemClock};
use tonic::transport::Uri;

use crate::MutualTls;
use crate::client::TokenClient;
use crate::freshness::{Freshness, Jitter};
use crate::replicas::Replicas;
use crate::request::{MAX_MINIMUM, MAX_WAIT};

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No address was given.
    #[error("no address of refresh-svc was given")]
    NoAddress,
    /// An address is none.
    #[error("{address:?} is no address: give https://host:port")]
    Address {
        /// As it was given.
        address: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The file system's words.
        cause: std::io::Error,
    },
    /// Something that should be PEM is not.
    #[error("the {what} is no PEM of its kind")]
    NoPem {
        /// `authority`, `certificate` or `key`.
        what: &'static str,
    },
    /// Certificates and key do not make a TLS client.
    #[error("the certificates cannot be used: {0}")]
    Tls(tonic::transport::Error),
}

/// Traceparent (W3C Trace Context) of whatever runs now.
pub(crate) type Traceparent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Makes a [`TokenClient`]; every setting but the address has a good default.
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

/// What the client is retry_info once.
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    pub(crate) watches: usize,
    pub(crate) min_remaining: Duration,
    pub(crate) within: Duration,
    pub(crate) fallback_after: Duration,
    pub(crate) fetch_timeout: Duration,
    pub(crate) cool_down: Duration,
    pub(crate) traceparent: Option<Traceparent>,
}

impl TokenClientBuilder {
    pub(crate) fn new(tls: MutualTls) -> Self {
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

    /// Address of a replica, `https://host:port`; call it once for each.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Name in the service's certificate, where it is not the address' host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Tokens kept in memory at most; the longest unused go first. 10 000.
    pub fn capacity(mut self, tokens: usize) -> Self {
        self.settings.capacity = tokens.max(1);
        self
    }

    /// Accounts in use that are watched at most, each by a stream of its own on
    /// the connections that are there anyway; 0 watches none. 256: a replica
    /// has room for a thousand, of all its callers together. Others are
    /// confirmed by their age alone.
    pub fn watches(mut self, accounts: usize) -> Self {
        self.settings.watches = accounts;
        self
    }

    /// Remaining life of tokens where the request says nothing. 60 s; one hour
    /// at most.
    pub fn min_remaining(mut self, least: Duration) -> Self {
        self.settings.min_remaining = least.min(MAX_MINIMUM);
        self
    }

    /// Deadline of requests that say nothing. 30 s.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.settings.within = deadline.min(MAX_WAIT);
        self
    }

    /// How long a caller waits for a fresher token while a valid one that falls
    /// short of the default minimum is at hand. 1 s.
    pub fn fallback_after(mut self, fallback_after: Duration) -> Self {
        self.settings.fallback_after = fallback_after.min(MAX_WAIT);
        self
    }

    /// How long one call to the service may take; callers that wait for it keep
    /// their own deadlines. 40 s: longer than the service gives a provider.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.settings.fetch_timeout = timeout.min(MAX_WAIT);
        self
    }

    /// A token that replaced a refused one is not replaced again before this. 30 s.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.settings.cool_down = cool_down;
        self
    }

    /// A kept token is confirmed with the service after this, so that a
    /// disconnected account that is not watched ends here too. 5 min.
    pub fn confirm_after(mut self, age: Duration) -> Self {
        self.freshness.confirm_after = age;
        self
    }

    /// Widest margin ahead of the minimum at which a token in use is refreshed
    /// in the background; 20 % of its life where that is less. 5 min.
    pub fn soft_margin(mut self, margin: Duration) -> Self {
        self.freshness.soft_margin = margin;
        self
    }

    /// How often the files of [`MutualTls::from_files`] are looked at. 30 s.
    pub fn certificate_reload_interval(mut self, interval: Duration) -> Self {
        self.certificate_reload_interval = interval;
        self
    }

    /// Time as a parameter.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Randomness as a parameter: the seed of the jitter.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter = Jitter::from_seed(seed);
        self
    }

    /// Where the calls' `traceparent` comes from, so that one trace leads from
    /// the caller into the service.
    pub fn traceparent(
        mut self,
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.traceparent = Some(Arc::new(current));
        self
    }

    /// Makes the client. Connects with the first call, not now, and must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// No address, a wrong address, or certificates that cannot be used.
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
        Ok(TokenClient::new(
            replicas,
            self.clock,
            self.jitter,
            self.freshness,
            self.settings,
        ))
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

/// Tokens travel over TLS only.
fn https(address: String) -> Result<Uri, BuildError> {
    match address.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.port().is_some() => Ok(uri),
        _ => Err(BuildError::Address { address }),
    }
}
