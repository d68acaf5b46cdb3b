//! One provider.

mod authorize;
mod identity;
mod token;

use std::sync::Arc;

use latchkey_domain::{Clock, DomainName, ProviderName, ScopeSet};
use url::Url;

use crate::definition::{AutoConnect, Definition, OfflineScope, RequestedData};
use crate::discovery::Metadata;
use crate::document_cache::{self, CachedDocument};
use crate::jwks::KeySet;
use crate::transport::Http;
use crate::{
    Access, ProviderAccess, ProviderError, ProviderKind, Purpose, RevocationReach, Rotation,
};

/// One provider: its definition, what was discovered of it and its keys.
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

    /// Configured name: `google`, `microsoft`, or that of the definition.
    pub fn name(&self) -> &ProviderName {
        &self.definition.name
    }

    /// Whose quirks it has.
    pub fn kind(&self) -> ProviderKind {
        self.definition.kind
    }

    /// Name for people.
    pub fn label(&self) -> &str {
        &self.definition.label
    }

    /// Configured client id: public, and what `doctor` shows.
    pub fn client_id(&self) -> &str {
        &self.definition.client_id
    }

    /// What it does with refresh tokens.
    pub fn rotation(&self) -> Rotation {
        self.definition.rotation
    }

    /// What it ends with the revocation of one refresh token.
    pub fn revocation(&self) -> RevocationReach {
        self.definition.revocation
    }

    /// Where the provider sends the browser back; absent in a process without
    /// `PUBLIC_URL`.
    pub fn redirect_uri(&self, purpose: Purpose) -> Option<&Url> {
        match purpose {
            Purpose::SignIn => self.definition.sign_in_callback.as_ref(),
            Purpose::Connect => self.definition.connect_callback.as_ref(),
        }
    }

    /// Scopes that are wanted: identity always; mail and calendar where they are on
    /// and, when signing in, automatic connection is (R6, R13). The one for offline
    /// access may still be left out, if the provider does not announce it.
    pub fn wanted_scopes(&self, purpose: Purpose) -> ScopeSet {
        self.scopes(
            purpose,
            self.definition.offline_scope != OfflineScope::Never,
        )
    }

    /// Scopes to ask for, now that the discovery document is known.
    fn requested_scopes(&self, purpose: Purpose, metadata: &Metadata) -> ScopeSet {
        let offline = match self.definition.offline_scope {
            OfflineScope::Always => true,
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
            let asked = data.into_iter().flatten().map(|wanted| &wanted.requested);
            let offline = with_offline.then_some(&definition.offline);
            for set in asked.chain(offline) {
                for scope in set.iter() {
                    scopes.insert(scope);
                }
            }
        }
        scopes
    }

    /// True where mail or calendars are asked for, and with them a refresh token.
    pub fn asks_for_data(&self, purpose: Purpose) -> bool {
        let definition = &self.definition;
        let on = definition.messages.is_some() || definition.calendar.is_some();
        let connects = match purpose {
            Purpose::SignIn => definition.auto_connect != AutoConnect::Nobody,
            Purpose::Connect => true,
        };
        on && connects
    }

    /// Returns `true` if a sign-in or a connection asks for more than to know who the
    /// person is: for data, or for offline access by the configured scopes. Only then is
    /// there something to connect, whatever tokens the provider gives.
    pub fn asks_beyond_identity(&self, purpose: Purpose) -> bool {
        self.asks_for_data(purpose) || self.definition.identity.contains("offline_access")
    }

    /// What a grant with these scopes gives (R23). Of several scopes that read
    /// the same data one is enough: who ticked off sending still has a mailbox.
    pub fn access(&self, granted: &ScopeSet) -> ProviderAccess {
        let rules = self.kind().scope_rules();
        let access = |wanted: &Option<RequestedData>| match wanted {
            None => Access::NotWanted,
            Some(wanted) if wanted.is_satisfied_by(granted, rules) => Access::Granted,
            Some(_) => Access::Denied,
        };
        ProviderAccess {
            messages: access(&self.definition.messages),
            calendar: access(&self.definition.calendar),
        }
    }

    /// True where a sign-in of a person of this domain connects the account
    /// (R13). Exact: no subdomains.
    pub fn auto_connect(&self, domain: &str) -> bool {
        match &self.definition.auto_connect {
            AutoConnect::Nobody => false,
            AutoConnect::Everybody => true,
            AutoConnect::Domains(domains) => domain
                .parse::<DomainName>()
                .is_ok_and(|domain| domains.contains(&domain)),
        }
    }

    /// Fetches the discovery document and the keys where they are not fresh: for
    /// `doctor`, and to be ready before the first person comes.
    ///
    /// # Errors
    /// One of them cannot be had or is wrong.
    pub async fn discover(&self) -> Result<(), ProviderError> {
        let metadata = self.metadata().await?;
        self.keys(&metadata).await?;
        Ok(())
    }

    /// Fetches the discovery document where it is not fresh, and checks it.
    ///
    /// # Errors
    /// It cannot be had, is wrong, or requires what is not supported.
    pub async fn check(&self) -> Result<(), ProviderError> {
        self.metadata().await.map(drop)
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
            .get(self.clock.now(), || {
                KeySet::fetch(&self.http, &metadata.jwks)
            })
            .await
    }
}
