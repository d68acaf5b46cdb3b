//! The variables of one provider.

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{DomainName, ScopeSet};
use secrecy::SecretString;
use url::Url;

use crate::transport::is_secure;

/// Reads the variables that start with one prefix, e.g. `AUTH_GOOGLE_`.
pub(crate) struct Reader<'a> {
    pub environment: &'a Environment,
    pub prefix: &'a str,
}

impl Reader<'_> {
    /// Full name of a variable.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    pub(crate) fn error(&self, suffix: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.name(suffix), problem)
    }

    pub(crate) fn optional(&self, suffix: &str) -> Result<Option<String>, ConfigError> {
        self.environment.optional(&self.name(suffix))
    }

    pub(crate) fn flag(&self, suffix: &str, default: bool) -> Result<bool, ConfigError> {
        self.environment.flag(&self.name(suffix), default)
    }

    /// A switch without a default.
    pub(crate) fn optional_flag(&self, suffix: &str) -> Result<Option<bool>, ConfigError> {
        match self.optional(suffix)? {
            Some(_) => self.flag(suffix, false).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn client_id(&self, whose: &str) -> Result<String, ConfigError> {
        self.environment.required(
            &self.name("CLIENT_ID"),
            &format!("the client id of the application that is registered at {whose}"),
        )
    }

    pub(crate) fn client_secret(&self, whose: &str) -> Result<SecretString, ConfigError> {
        self.environment.secret(
            &self.name("CLIENT_SECRET"),
            &format!("the client secret of the application that is registered at {whose}"),
        )
    }

    /// An issuer or authority: the text as it was configured, and as a URL.
    pub(crate) fn issuer(
        &self,
        suffix: &str,
        default: Option<&str>,
    ) -> Result<(String, Url), ConfigError> {
        const EXAMPLE: &str = "the provider's issuer, such as https://id.example.com";
        let name = self.name(suffix);
        let text = match default {
            None => self.environment.required(&name, EXAMPLE)?,
            Some(default) => self
                .environment
                .optional(&name)?
                .unwrap_or_else(|| default.to_owned()),
        };
        let url =
            Url::parse(&text).map_err(|_| ConfigError::new(name, format!("must be {EXAMPLE}")))?;
        if !is_secure(&url) {
            return Err(self.error(
                suffix,
                "must be https:// (http:// is accepted on loopback hosts only)",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(self.error(suffix, "must have no query, fragment or user"));
        }
        Ok((text, url))
    }

    /// A callback URL: from its own variable, else made of `PUBLIC_URL` and `path`.
    /// `None` if neither is set.
    pub(crate) fn callback(&self, suffix: &str, path: &str) -> Result<Option<Url>, ConfigError> {
        let (variable, text) = match self.optional(suffix)? {
            Some(text) => (self.name(suffix), text),
            None => match self.environment.optional("PUBLIC_URL")? {
                Some(origin) => {
                    let origin = origin.trim_end_matches('/');
                    ("PUBLIC_URL".to_owned(), format!("{origin}{path}"))
                }
                None => return Ok(None),
            },
        };
        let url = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none())
            .ok_or_else(|| {
                ConfigError::new(
                    variable,
                    "must be an absolute http(s):// URL without fragment",
                )
            })?;
        Ok(Some(url))
    }

    /// Scopes from a variable, else the default.
    pub(crate) fn scopes(&self, suffix: &str, default: &str) -> Result<ScopeSet, ConfigError> {
        let list = self.environment.list(&self.name(suffix))?;
        if list.is_empty() {
            Ok(ScopeSet::parse(default))
        } else {
            Ok(list.into_iter().collect())
        }
    }

    /// Identity scopes. Without `openid` a provider gives no ID token.
    pub(crate) fn identity_scopes(&self) -> Result<ScopeSet, ConfigError> {
        let scopes = self.scopes("SCOPES", "openid email profile")?;
        if scopes.contains("openid") {
            Ok(scopes)
        } else {
            Err(self.error("SCOPES", "must contain the scope openid"))
        }
    }

    /// Domains in ASCII form.
    pub(crate) fn domains(&self, suffix: &str) -> Result<BTreeSet<DomainName>, ConfigError> {
        let list = self.environment.list(&self.name(suffix))?;
        list.into_iter()
            .map(|text| {
                text.parse().map_err(|_| {
                    let problem = format!(
                        "must be a list of domains such as acme.example: {text:?} is not a domain"
                    );
                    self.error(suffix, problem)
                })
            })
            .collect()
    }
}
