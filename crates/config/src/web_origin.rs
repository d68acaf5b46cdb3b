//! Web origins: scheme, host and port.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::{ConfigError, Environment};

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an origin such as https://app.example.com, without path, query or user")]
pub struct InvalidOrigin;

/// An origin: scheme, host and port of a web site.
#[derive(Clone, PartialEq, Eq)]
pub struct WebOrigin(Url);

impl WebOrigin {
    /// Reads `PUBLIC_URL`: the origin of this service as browsers see it.
    ///
    /// # Errors
    /// Returns an error if it is missing or wrong.
    pub fn public(environment: &Environment) -> Result<Self, ConfigError> {
        const NAME: &str = "PUBLIC_URL";
        const HINT: &str = "the origin that browsers see, such as https://auth.example.com";
        let origin: Self = environment.required_parsed(NAME, HINT)?;
        if origin.keeps_cookies() {
            return Ok(origin);
        }
        Err(ConfigError::new(
            NAME,
            "must begin with https:// (http:// on localhost only): browsers keep the session's \
             cookie on no other",
        ))
    }

    /// Returns the origin as a URL with the path `/`.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the origin of a URL.
    pub fn of(url: &Url) -> Option<Self> {
        url.origin().ascii_serialization().parse().ok()
    }

    /// Returns `true` if `url` is on this origin.
    pub fn holds(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// Returns `true` if browsers keep `Secure` cookies of this origin: over TLS, and on
    /// localhost.
    pub fn keeps_cookies(&self) -> bool {
        self.is_https()
            || match self.0.host() {
                Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            }
    }

    /// Returns `true` if the scheme is `https`.
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

/// Formats the origin as browsers do in `Origin`: without a trailing slash.
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
