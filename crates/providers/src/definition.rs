//! What is configured of a provider.

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{DomainName, ProviderName, ScopeSet};
use secrecy::SecretString;
use url::Url;

use crate::client_auth::ClientAuthentication;
use crate::email::EmailRule;
use crate::transport::is_secure;
use crate::{ProviderKind, RevocationReach, Rotation, ScopeRules, microsoft};

/// Which issuer signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IssuerRule {
    /// This one, to the letter.
    Exact {
        /// The `iss` of every token.
        issuer: String,
        /// The tenant that is part of it (Microsoft).
        tenant: Option<String>,
    },
    /// One per tenant (Microsoft): `{tenantid}` stands for the token's `tid`.
    PerTenant {
        /// E.g. `https://login.microsoftonline.com/{tenantid}/v2.0`.
        template: String,
        /// Tenants that may come in, lower case; any where empty.
        allowed: BTreeSet<String>,
    },
}

impl IssuerRule {
    /// The tenant, if exactly one organisation's may come in. Never the one of
    /// personal accounts, which belongs to nobody.
    pub(crate) fn only_tenant(&self) -> Option<&str> {
        let tenant = match self {
            Self::Exact { tenant, .. } => tenant.as_deref(),
            Self::PerTenant { allowed, .. } if allowed.len() == 1 => {
                allowed.first().map(String::as_str)
            }
            Self::PerTenant { .. } => None,
        };
        tenant.filter(|tenant| *tenant != microsoft::PERSONAL)
    }

    /// The issuer for a log: with `{tenantid}` if each tenant has its own.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Exact { issuer, .. } => issuer,
            Self::PerTenant { template, .. } => template,
        }
    }
}

/// Whose sign-in connects the account (R13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AutoConnect {
    Nobody,
    Everybody,
    Domains(BTreeSet<DomainName>),
}

/// A kind of data that is wanted: what to ask for, what is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestedData {
    /// Scopes to ask for.
    pub requested: ScopeSet,
    /// Any one of these is enough to read; all of `requested` where this is empty.
    pub sufficient: ScopeSet,
}

impl RequestedData {
    /// Asks for `requested`. Of the scopes that read, `readers`, one is enough, if
    /// one of them is asked for at all.
    pub(crate) fn new(requested: ScopeSet, readers: &[&str], rules: ScopeRules) -> Self {
        let asked = |reader: &&str| requested.iter().any(|one| rules.satisfies(one, reader));
        let reads = readers.iter().any(asked);
        let sufficient = if reads {
            readers.iter().copied().collect()
        } else {
            ScopeSet::default()
        };
        Self {
            requested,
            sufficient,
        }
    }

    /// True where the grant is enough.
    pub(crate) fn is_satisfied_by(&self, granted: &ScopeSet, rules: ScopeRules) -> bool {
        let has = |scope: &str| granted.iter().any(|one| rules.satisfies(one, scope));
        if self.sufficient.is_empty() {
            self.requested.iter().all(has)
        } else {
            self.sufficient.iter().any(has)
        }
    }
}

/// When the scope that makes a provider give a refresh token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfflineScope {
    /// Always with data.
    Always,
    /// Never: some providers refuse a scope that they do not know (Cognito).
    Never,
    /// With data, if `scopes_supported` of the discovery document names it.
    IfAnnounced,
}

/// What is configured of a provider.
#[derive(Clone)]
pub(crate) struct Definition {
    pub name: ProviderName,
    pub kind: ProviderKind,
    pub label: String,
    /// `…/.well-known/openid-configuration`.
    pub discovery: Url,
    pub issuer: IssuerRule,
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    /// How the client proves itself; decided by the discovery document if absent.
    pub client_authentication: Option<ClientAuthentication>,
    /// Audiences that an ID token may name beside the client (Zitadel's project).
    pub audiences: BTreeSet<String>,
    /// Claim that holds the address, `email` as a rule.
    pub email_claim: String,
    /// Claim that holds the subject, if it is not `sub`.
    pub subject_claim: Option<String>,
    /// Further parameters of the authorize URL.
    pub authorize_parameters: Vec<(String, String)>,
    /// Whether `prompt=select_account` may be sent; decided by the discovery document
    /// if absent.
    pub select_account: Option<bool>,
    pub sign_in_callback: Option<Url>,
    pub connect_callback: Option<Url>,
    pub identity: ScopeSet,
    /// For which addresses the provider may vouch; of no effect for the built-in
    /// ones, which have rules of their own.
    pub email: EmailRule,
    /// What makes the provider give a refresh token, asked for with data.
    pub offline: ScopeSet,
    pub offline_scope: OfflineScope,
    pub messages: Option<RequestedData>,
    pub calendar: Option<RequestedData>,
    pub auto_connect: AutoConnect,
    pub rotation: Rotation,
    /// `response_mode=form_post`.
    pub form_post: bool,
    pub revocation: RevocationReach,
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

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

    /// An issuer or authority: the text as it stands, and as a URL.
    pub(crate) fn issuer(
        &self,
        suffix: &str,
        default: Option<&str>,
    ) -> Result<(String, Url), ConfigError> {
        let text = match (self.optional(suffix)?, default) {
            (Some(text), _) => text,
            (None, Some(default)) => default.to_owned(),
            (None, None) => {
                return Err(self.error(suffix, "is missing: set it to the provider's issuer"));
            }
        };
        let url = Url::parse(&text).map_err(|_| {
            self.error(
                suffix,
                "is no URL: set it to the provider's https:// issuer",
            )
        })?;
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

    /// A callback URL: its own variable, else `PUBLIC_URL` and `path`, else none.
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

    /// Identity scopes: `openid` must be among them, or there is no ID token.
    pub(crate) fn identity_scopes(&self) -> Result<ScopeSet, ConfigError> {
        let scopes = self.scopes("SCOPES", "openid email profile")?;
        if scopes.contains("openid") {
            Ok(scopes)
        } else {
            Err(self.error("SCOPES", "must have openid among its scopes"))
        }
    }

    /// Domains, each in its one form.
    pub(crate) fn domains(&self, suffix: &str) -> Result<BTreeSet<DomainName>, ConfigError> {
        let list = self.environment.list(&self.name(suffix))?;
        list.into_iter()
            .map(|text| {
                text.parse().map_err(|_| {
                    let problem =
                        format!("{text:?} is no domain: set it to a list such as acme.example");
                    self.error(suffix, problem)
                })
            })
            .collect()
    }

    pub(crate) fn auto_connect(&self) -> Result<AutoConnect, ConfigError> {
        let on = self.flag("AUTO_CONNECT", true)?;
        let domains = self.domains("AUTO_CONNECT_DOMAINS")?;
        match (on, domains.is_empty()) {
            (true, true) => Ok(AutoConnect::Everybody),
            (true, false) => Ok(AutoConnect::Domains(domains)),
            (false, true) => Ok(AutoConnect::Nobody),
            (false, false) => Err(self.error(
                "AUTO_CONNECT_DOMAINS",
                format!("is set, but {} is false", self.name("AUTO_CONNECT")),
            )),
        }
    }
}

/// `<issuer>/.well-known/openid-configuration`.
pub(crate) fn well_known(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = format!(
        "{}/.well-known/openid-configuration",
        issuer.path().trim_end_matches('/')
    );
    url.set_path(&path);
    url
}
