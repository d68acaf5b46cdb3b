//! One provider: requests to it, and what is known of it.

mod authorize;
mod client_keys;
mod end_session;
mod identity;
mod logout;
mod token;

pub use end_session::{EndSessionRequest, MAX_ID_TOKEN_HINT, SIGNED_OUT};
pub use logout::BACKCHANNEL_LOGOUT;

use std::sync::Arc;

use latchkey_domain::{Clock, DomainName, ProviderName, ScopeSet, Subject};
use latchkey_jwks::KeySet;
use url::Url;

use crate::definition::{AutoConnect, Definition, RequestedData};
use crate::discovery::Metadata;
use crate::document_cache::{self, CachedDocument};
use crate::offline_scope::OfflineScope;
use crate::transport::Http;
use crate::{
    Access, ProviderAccess, ProviderError, Purpose, Registration, RevocationReach, Rotation,
    ScopeRules,
};

/// The scope for offline access (OpenID Connect Core section 11).
const OFFLINE_ACCESS: &str = "offline_access";

/// One provider: its definition, its discovery document and its keys.
#[derive(Debug)]
pub struct Provider {
    definition: Definition,
    http: Http,
    clock: Arc<dyn Clock>,
    metadata: CachedDocument<Metadata>,
    keys: CachedDocument<KeySet>,
}

impl Provider {
    pub(crate) fn new(definition: Definition, http: Http, clock: Arc<dyn Clock>) -> Self {
        Self {
            definition,
            http,
            clock,
            metadata: CachedDocument::new(document_cache::METADATA_LIFETIME),
            keys: CachedDocument::new(document_cache::KEY_SET_LIFETIME),
        }
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Name in paths and variables: that of a built-in provider, or the NAME of
    /// `AUTH_OIDC_<NAME>_…`.
    pub fn name(&self) -> &ProviderName {
        &self.definition.name
    }

    /// Returns `true` for a built-in provider, `false` for one of `AUTH_OIDC_<NAME>_…`.
    pub fn is_built_in(&self) -> bool {
        self.definition.built_in
    }

    /// Where the operator registers the client at the provider.
    pub fn registration(&self) -> Registration {
        self.definition.quirks.registration()
    }

    /// The tenant that a subject of this provider contains.
    pub fn tenant_of<'a>(&self, subject: &'a Subject) -> Option<&'a str> {
        self.definition.quirks.tenant_of_subject(subject.as_str())
    }

    /// Name on pages.
    pub fn label(&self) -> &str {
        &self.definition.label
    }

    /// Configured client id. It is not a secret.
    pub fn client_id(&self) -> &str {
        &self.definition.client_id
    }

    /// What the provider does with a refresh token that is used.
    pub fn rotation(&self) -> Rotation {
        self.definition.rotation
    }

    /// What the provider revokes together with one refresh token.
    pub fn revocation(&self) -> RevocationReach {
        self.definition.revocation
    }

    /// Address of the discovery document.
    pub fn discovery_url(&self) -> &Url {
        &self.definition.discovery
    }

    /// Callback URL. `None` in a process without `PUBLIC_URL`.
    pub fn redirect_uri(&self, purpose: Purpose) -> Option<&Url> {
        match purpose {
            Purpose::SignIn => self.definition.sign_in_callback.as_ref(),
            Purpose::Connect => self.definition.connect_callback.as_ref(),
        }
    }

    /// Scopes to request: those of the identity, and those of mail and calendar if data
    /// is requested (R6, R13). The scope for offline access is left out later if the
    /// provider does not announce it.
    pub fn wanted_scopes(&self, purpose: Purpose) -> ScopeSet {
        self.scopes(
            purpose,
            self.definition.offline_scope != OfflineScope::Never,
        )
    }

    /// Scopes to request, with regard to the discovery document.
    fn requested_scopes(&self, purpose: Purpose, metadata: &Metadata) -> ScopeSet {
        let offline = match self.definition.offline_scope {
            OfflineScope::Always | OfflineScope::Afterwards => true,
            OfflineScope::Never => false,
            OfflineScope::IfAnnounced => {
                let announced = |scope: &str| metadata.scopes.iter().any(|known| known == scope);
                self.definition.offline.iter().all(announced)
            }
        };
        self.scopes(purpose, offline)
    }

    fn scopes(&self, purpose: Purpose, with_offline: bool) -> ScopeSet {
        let definition = &self.definition;
        let mut scopes = definition.identity.clone();
        if self.asks_for_data(purpose) {
            let data = [&definition.messages, &definition.calendar];
            let asked = data.into_iter().flatten().map(|data| &data.requested);
            let offline = with_offline.then_some(&definition.offline);
            for set in asked.chain(offline) {
                for scope in set.iter() {
                    scopes.insert(scope);
                }
            }
        }
        scopes
    }

    /// Returns `true` if mail or calendars are requested, and with them a refresh token.
    pub fn asks_for_data(&self, purpose: Purpose) -> bool {
        let definition = &self.definition;
        let on = definition.messages.is_some() || definition.calendar.is_some();
        let connects = match purpose {
            Purpose::SignIn => definition.auto_connect != AutoConnect::Nobody,
            Purpose::Connect => true,
        };
        on && connects
    }

    /// Returns `true` if a sign-in requests offline access by a scope that can be left out. Only
    /// providers of `AUTH_OIDC_<NAME>_…` end a session when they grant it.
    ///
    /// # Errors
    /// The discovery document is not available.
    pub async fn can_leave_out_offline_access(&self) -> Result<bool, ProviderError> {
        if self.is_built_in() {
            return Ok(false);
        }
        let metadata = self.metadata().await?;
        let requested = self.requested_scopes(Purpose::SignIn, &metadata);
        Ok(requested.contains(OFFLINE_ACCESS))
    }

    /// Returns `true` if a sign-in requests offline access only after it is known who came.
    pub fn requests_offline_access_afterwards(&self) -> bool {
        self.definition.offline_scope == OfflineScope::Afterwards
    }

    /// Returns `true` if a grant with these scopes gives access to everything that is configured.
    pub fn is_covered_by(&self, granted: &ScopeSet) -> bool {
        let access = self.access(granted);
        ![access.messages, access.calendar].contains(&Access::Denied)
    }

    /// Returns `true` if more than the identity is requested: data, or offline access by
    /// the configured scopes. Otherwise no account is connected, whatever tokens the
    /// provider gives.
    pub fn asks_beyond_identity(&self, purpose: Purpose) -> bool {
        self.asks_for_data(purpose) || self.definition.identity.contains(OFFLINE_ACCESS)
    }

    /// Which data a grant with these scopes gives access to (R23). Of several scopes that
    /// allow reading one is sufficient: a person who did not allow sending still has a
    /// mailbox.
    pub fn access(&self, granted: &ScopeSet) -> ProviderAccess {
        let rules = ScopeRules::of(&self.definition.name);
        let access = |data: &Option<RequestedData>| match data {
            None => Access::NotWanted,
            Some(data) if data.is_satisfied_by(granted, rules) => Access::Granted,
            Some(_) => Access::Denied,
        };
        ProviderAccess {
            messages: access(&self.definition.messages),
            calendar: access(&self.definition.calendar),
        }
    }

    /// Returns `true` if the sign-in of a person of this domain connects the account
    /// (R13). Subdomains are other domains.
    pub fn auto_connect(&self, domain: &str) -> bool {
        match &self.definition.auto_connect {
            AutoConnect::Nobody => false,
            AutoConnect::Everybody => true,
            AutoConnect::Domains(domains) => domain
                .parse::<DomainName>()
                .is_ok_and(|domain| domains.contains(&domain)),
        }
    }

    /// Fetches the discovery document and the keys unless they are fresh, for `doctor` and
    /// before the first sign-in.
    ///
    /// # Errors
    /// The discovery document or the key set is not available or wrong.
    pub async fn discover(&self) -> Result<(), ProviderError> {
        let metadata = self.metadata().await?;
        self.pushed_authorization(&metadata)?;
        self.keys(&metadata).await?;
        Ok(())
    }

    /// Fetches the discovery document unless it is fresh, and checks it; with `sign_ins` also what
    /// only sign-ins need.
    ///
    /// # Errors
    /// The discovery document is not available, wrong, or requires something that is not
    /// supported.
    pub async fn check(&self, sign_ins: bool) -> Result<(), ProviderError> {
        let metadata = self.metadata().await?;
        if sign_ins {
            self.pushed_authorization(&metadata)?;
        }
        Ok(())
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata
            .get(self.clock.now(), || {
                Metadata::fetch(&self.http, &self.definition)
            })
            .await
    }

    async fn keys(&self, metadata: &Metadata) -> Result<Arc<KeySet>, ProviderError> {
        self.keys
            .get(self.clock.now(), || self.fetch_keys(metadata))
            .await
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, ProviderError> {
        let unavailable = ProviderError::KeysUnavailable;
        let answer = self
            .http
            .document(&metadata.jwks)
            .await
            .map_err(|failure| failure.into_provider_error(unavailable))?;
        if !answer.status.is_success() {
            return Err(unavailable(format!("status {}", answer.status.as_u16())));
        }
        KeySet::parse(&answer.body).map_err(|error| unavailable(error.to_string()))
    }
}
