//! The providers that are built in: one way to read what is configured, and what
//! sets each apart.

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::ScopeSet;
use url::Url;

use crate::client_auth::ClientAuthentication;
use crate::definition::{Definition, IssuerRule, OfflineScope, Reader, RequestedData, well_known};
use crate::email::EmailRule;
use crate::{ProviderKind, RevocationReach, Rotation};

/// What sets a built-in provider apart.
pub(crate) struct BuiltIn {
    /// `google`: in paths, and in upper case in variables.
    pub name: &'static str,
    pub kind: ProviderKind,
    /// Its own name, for people.
    pub label: &'static str,
    /// Scope that makes it give a refresh token; empty where a parameter does.
    pub offline: &'static str,
    pub rotation: Rotation,
    pub revocation: RevocationReach,
    pub messages: Data,
    pub calendar: Data,
}

/// A kind of data.
pub(crate) struct Data {
    /// Variable that switches it on.
    pub switch: &'static str,
    /// Scopes to ask for where none are configured.
    pub scopes: &'static str,
    /// Narrowest scopes that read; one of them, or one that includes it, is enough.
    pub readers: &'static [&'static str],
}

impl BuiltIn {
    /// What is configured; nothing where it is switched off. `issuer` reads who
    /// signs, and under which address the discovery document lies.
    pub(crate) fn definition(
        &self,
        environment: &Environment,
        issuer: impl FnOnce(&Reader<'_>) -> Result<(Url, IssuerRule), ConfigError>,
    ) -> Result<Option<Definition>, ConfigError> {
        let Self { name, label, .. } = *self;
        let reader = Reader {
            environment,
            prefix: &format!("AUTH_{}_", name.to_uppercase()),
        };
        let on = reader.flag("ENABLED", false)?;
        let messages = self.messages.is_on(&reader, on)?;
        let calendar = self.calendar.is_on(&reader, on)?;
        if !on {
            return Ok(None);
        }
        let (discovery, issuer) = issuer(&reader)?;
        Ok(Some(Definition {
            name: crate::registry::fixed_name(name)?,
            kind: self.kind,
            label: reader.optional("LABEL")?.unwrap_or_else(|| label.into()),
            discovery: well_known(&discovery),
            issuer,
            client_id: reader.client_id(label)?,
            client_secret: Some(reader.client_secret(label)?),
            // What both document, whatever else they announce.
            client_authentication: Some(ClientAuthentication::Post),
            audiences: BTreeSet::new(),
            email_claim: crate::email::CLAIM.to_owned(),
            subject_claim: None,
            authorize_parameters: Vec::new(),
            select_account: reader.optional_flag("SELECT_ACCOUNT")?,
            sign_in_callback: reader.callback("CALLBACK_URL", &format!("/auth/{name}/redirect"))?,
            connect_callback: reader.callback(
                "APIS_CALLBACK_URL",
                &format!("/auth/{name}-apis/get-access-token"),
            )?,
            identity: reader.identity_scopes()?,
            email: EmailRule::default(),
            offline: ScopeSet::parse(self.offline),
            offline_scope: OfflineScope::Always,
            messages: messages
                .then(|| self.messages.wanted(&reader, "MESSAGING_SCOPES", self.kind))
                .transpose()?,
            calendar: calendar
                .then(|| self.calendar.wanted(&reader, "CALENDAR_SCOPES", self.kind))
                .transpose()?,
            auto_connect: reader.auto_connect()?,
            rotation: self.rotation,
            form_post: false,
            revocation: self.revocation,
        }))
    }
}

impl Data {
    /// The switch only makes sense where the provider is on.
    fn is_on(&self, provider: &Reader<'_>, provider_is_on: bool) -> Result<bool, ConfigError> {
        let on = provider.environment.flag(self.switch, false)?;
        if on && !provider_is_on {
            let problem = format!("is true, but {} is not", provider.name("ENABLED"));
            return Err(ConfigError::new(self.switch, problem));
        }
        Ok(on)
    }

    fn wanted(
        &self,
        reader: &Reader<'_>,
        suffix: &str,
        kind: ProviderKind,
    ) -> Result<RequestedData, ConfigError> {
        let scopes = reader.scopes(suffix, self.scopes)?;
        Ok(RequestedData::new(scopes, self.readers, kind.scope_rules()))
    }
}
