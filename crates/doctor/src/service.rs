//! The services that are looked at.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A service of Latchkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// auth-svc.
    Auth,
    /// sync-svc.
    Sync,
    /// refresh-svc.
    Refresh,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Auth, Self::Sync, Self::Refresh];

    /// Name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth-svc",
            Self::Sync => "sync-svc",
            Self::Refresh => "refresh-svc",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|service| service.name() == text);
        named.ok_or("must be auth-svc, sync-svc or refresh-svc")
    }
}

/// The operator's port of a service (`HEALTH_LISTEN`): `<service>=<URL>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorPort {
    /// The service.
    pub service: Service,
    /// Where it is reached, e.g. `http://127.0.0.1:8083`.
    pub url: Url,
}

impl FromStr for OperatorPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "must read <service>=<URL>, such as auth-svc=http://127.0.0.1:8083";
        let (service, url) = text.split_once('=').ok_or_else(wrong)?;
        let url = Url::parse(url).ok().filter(Url::has_host);
        Ok(Self {
            service: service.parse()?,
            url: url.ok_or_else(wrong)?,
        })
    }
}
