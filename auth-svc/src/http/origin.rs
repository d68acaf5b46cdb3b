//! Web origins: scheme, host and port.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an origin such as https://app.example.com, without path, query or user")]
pub struct InvalidOrigin;

/// Scheme, host and port of a web site.
#[derive(Clone, PartialEq, Eq)]
pub struct WebOrigin(Url);

impl WebOrigin {
    /// The origin as a URL with the path `/`.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The origin of a URL.
    pub fn of(url: &Url) -> Option<Self> {
        url.origin().ascii_serialization().parse().ok()
    }

    /// True where `url` is on this origin.
    pub fn holds(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// True where browsers keep `Secure` cookies: over TLS, and on the machine
    /// itself.
    pub fn keeps_cookies(&self) -> bool {
        self.is_https()
            || match self.0.host() {
                Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            }
    }

    /// True where browsers reach it over TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for WebOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| InvalidOrigin)?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if bare {
            Ok(Self(url))
        } else {
            Err(InvalidOrigin)
        }
    }
}

/// As a browser writes it in `Origin`: no trailing slash.
impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
