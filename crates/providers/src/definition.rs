//! What is configured of a provider.

use std::collections::BTreeSet;

use latchkey_config::{ConfigErrors, read_all};
use latchkey_domain::{DomainName, ProviderName, ScopeSet};
use secrecy::SecretString;
use url::Url;

use crate::authentication::AuthenticationRequirement;
use crate::client_auth::{Audience, ClientAuthentication};
use crate::email::EmailRule;
use crate::issuer::IssuerRule;
use crate::offline_scope::OfflineScope;
use crate::pushed_authorization::PushedAuthorization;
use crate::quirks::Quirks;
use crate::reader::Reader;
use crate::sign_out::SignOut;
use crate::{RevocationReach, Rotation, ScopeRules};

/// Whose sign-in connects the account without a further step (R13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AutoConnect {
    Nobody,
    Everybody,
    Domains(BTreeSet<DomainName>),
}

impl AutoConnect {
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigErrors> {
        read_all! {
            let on = reader.flag("AUTO_CONNECT", true);
            let domains = reader.domains("AUTO_CONNECT_DOMAINS");
        }
        match (on, domains.is_empty()) {
            (true, true) => Ok(Self::Everybody),
            (true, false) => Ok(Self::Domains(domains)),
            (false, true) => Ok(Self::Nobody),
            (false, false) => {
                let problem = format!("is set, but {} is false", reader.name("AUTO_CONNECT"));
                Err(reader.error("AUTO_CONNECT_DOMAINS", problem).into())
            }
        }
    }
}

/// The scopes of one kind of data: which are requested, and which are sufficient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestedData {
    /// Scopes to request.
    pub requested: ScopeSet,
    /// Scopes of which one is sufficient for reading. If this is empty, all of
    /// `requested` are necessary.
    pub sufficient: ScopeSet,
}

impl RequestedData {
    /// `readers` are the scopes that allow reading. One of them is sufficient, provided
    /// that `requested` includes one.
    pub(crate) fn new(requested: ScopeSet, readers: &[&str], rules: ScopeRules) -> Self {
        let includes = |reader: &&str| requested.iter().any(|one| rules.satisfies(one, reader));
        let reads = readers.iter().any(includes);
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

    /// Returns `true` if the granted scopes are sufficient.
    pub(crate) fn is_satisfied_by(&self, granted: &ScopeSet, rules: ScopeRules) -> bool {
        let has = |scope: &str| granted.iter().any(|one| rules.satisfies(one, scope));
        if self.sufficient.is_empty() {
            self.requested.iter().all(has)
        } else {
            self.sufficient.iter().any(has)
        }
    }
}

/// What is configured of a provider.
#[derive(Clone)]
pub(crate) struct Definition {
    pub name: ProviderName,
    pub quirks: &'static dyn Quirks,
    /// `false` for a definition of `AUTH_OIDC_<NAME>_…` variables.
    pub built_in: bool,
    pub label: String,
    /// `…/.well-known/openid-configuration`.
    pub discovery: Url,
    pub issuer: IssuerRule,
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    /// `None`: the discovery document decides.
    pub client_authentication: Option<ClientAuthentication>,
    /// What the assertions of the client name as their audience.
    pub assertion_audience: Audience,
    /// Audiences that an ID token may name beside the client (Zitadel names the project).
    pub audiences: BTreeSet<String>,
    /// Claim with the mail address, usually `email`.
    pub email_claim: String,
    /// Claim with the subject; `None` for `sub`.
    pub subject_claim: Option<String>,
    /// Further parameters of the authorize URL.
    pub authorize_parameters: Vec<(String, String)>,
    /// What is required of the authentication of a person.
    pub authentication: AuthenticationRequirement,
    /// When authorization requests are pushed (RFC 9126).
    pub pushed_authorization: PushedAuthorization,
    /// Whether `prompt=select_account` may be sent. `None`: the quirks or the discovery
    /// document decide.
    pub select_account: Option<bool>,
    pub sign_in_callback: Option<Url>,
    pub connect_callback: Option<Url>,
    pub identity: ScopeSet,
    /// For which addresses the provider may vouch. Ignored for providers whose quirks
    /// have rules of their own.
    pub email: EmailRule,
    /// Scope for offline access; empty if a parameter requests it.
    pub offline: ScopeSet,
    pub offline_scope: OfflineScope,
    pub messages: Option<RequestedData>,
    pub calendar: Option<RequestedData>,
    pub auto_connect: AutoConnect,
    pub rotation: Rotation,
    /// Request `response_mode=form_post`.
    pub form_post: bool,
    pub revocation: RevocationReach,
    /// What a sign-out here does at the provider.
    pub sign_out: SignOut,
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
