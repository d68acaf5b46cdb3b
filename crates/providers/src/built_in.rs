//! A built-in provider: its facts, and how its variables are read.

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{ProviderName, ScopeSet};
use url::Url;

use crate::client_auth::ClientAuthentication;
use crate::definition::{AutoConnect, Definition, OfflineScope, RequestedData, well_known};
use crate::email::{self, EmailRule};
use crate::issuer::IssuerRule;
use crate::quirks::{ErrorRow, Quirks};
use crate::reader::Reader;
use crate::{RevocationReach, Rotation, ScopeRules};

/// The facts of one provider.
pub(crate) struct BuiltIn {
    /// Name in paths, and in upper case in variables.
    pub name: &'static str,
    pub quirks: &'static dyn Quirks,
    /// Name on pages, unless another one is configured.
    pub label: &'static str,
    /// Logo as SVG with a view box of 24 by 24.
    pub logo: &'static str,
    /// Scope for offline access; empty if a parameter requests it.
    pub offline: &'static str,
    pub rotation: Rotation,
    pub revocation: RevocationReach,
    pub messages: Data,
    pub calendar: Data,
    /// Error codes of the token endpoint beside those of the standards.
    pub errors: &'static [ErrorRow],
    /// Reads the issuer and the URL below which the discovery document is.
    pub issuer: fn(&Reader<'_>) -> Result<(Url, IssuerRule), ConfigError>,
    /// Checks what is configured.
    pub check: fn(&Definition) -> Result<(), ConfigError>,
}

/// One kind of data.
pub(crate) struct Data {
    /// Variable that switches it on.
    pub switch: &'static str,
    /// Scopes to request, unless others are configured.
    pub scopes: &'static str,
    /// Narrowest scopes that allow reading. One of them is sufficient, or one that
    /// includes it.
    pub readers: &'static [&'static str],
}

impl BuiltIn {
    /// What is configured; `None` if the provider is switched off.
    pub(crate) fn definition(
        &self,
        environment: &Environment,
    ) -> Result<Option<Definition>, ConfigError> {
        let Self {
            name,
            label,
            quirks,
            ..
        } = *self;
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
        let provider: ProviderName = name
            .parse()
            .map_err(|_| ConfigError::new(name, "is not the name of a provider"))?;
        let rules = ScopeRules::of(&provider);
        let (discovery, issuer) = (self.issuer)(&reader)?;
        let definition = Definition {
            name: provider,
            quirks,
            built_in: true,
            label: reader.optional("LABEL")?.unwrap_or_else(|| label.into()),
            discovery: well_known(&discovery),
            issuer,
            client_id: reader.client_id(label)?,
            client_secret: Some(reader.client_secret(label)?),
            // Documented by each of them, whatever the discovery document announces.
            client_authentication: Some(ClientAuthentication::Post),
            audiences: BTreeSet::new(),
            email_claim: email::CLAIM.to_owned(),
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
                .then(|| self.messages.requested(&reader, "MESSAGING_SCOPES", rules))
                .transpose()?,
            calendar: calendar
                .then(|| self.calendar.requested(&reader, "CALENDAR_SCOPES", rules))
                .transpose()?,
            auto_connect: AutoConnect::read(&reader)?,
            rotation: self.rotation,
            form_post: false,
            revocation: self.revocation,
        };
        (self.check)(&definition)?;
        Ok(Some(definition))
    }
}

impl Data {
    /// Reads the switch, which is an error if it is on and the provider is off.
    fn is_on(&self, provider: &Reader<'_>, provider_is_on: bool) -> Result<bool, ConfigError> {
        let on = provider.environment.flag(self.switch, false)?;
        if on && !provider_is_on {
            let problem = format!("is true, but {} is not", provider.name("ENABLED"));
            return Err(ConfigError::new(self.switch, problem));
        }
        Ok(on)
    }

    fn requested(
        &self,
        reader: &Reader<'_>,
        suffix: &str,
        rules: ScopeRules,
    ) -> Result<RequestedData, ConfigError> {
        let scopes = reader.scopes(suffix, self.scopes)?;
        Ok(RequestedData::new(scopes, self.readers, rules))
    }
}
