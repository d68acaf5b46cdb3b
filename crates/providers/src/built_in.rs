//! A built-in provider: its facts, and how its variables are read.

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_domain::{ProviderName, ScopeSet};
use url::Url;

use crate::authentication::AuthenticationRequirement;
use crate::client_auth::{Audience, ClientCredentials};
use crate::definition::{AutoConnect, Definition, RequestedData, well_known};
use crate::email::{self, EmailRule};
use crate::issuer::IssuerRule;
use crate::offline_scope::OfflineScope;
use crate::pushed_authorization::PushedAuthorization;
use crate::quirks::{ErrorRow, Quirks};
use crate::reader::Reader;
use crate::sign_out::SignOut;
use crate::{AuthorizationError, RevocationReach, Rotation, ScopeRules};

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
    /// Error codes of the authorization endpoint beside those of the standards.
    pub authorization_errors: &'static [(&'static str, AuthorizationError)],
    /// Reads the issuer and the URL below which the discovery document is.
    pub issuer: fn(&Reader<'_>) -> Result<(Url, IssuerRule), ConfigErrors>,
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
    /// What is configured; `None` if the provider is switched off. All variables are read in
    /// any case, and faults in the others count only if the provider is on.
    pub(crate) fn definition(
        &self,
        environment: &Environment,
    ) -> Result<Option<Definition>, ConfigErrors> {
        let reader = Reader {
            environment,
            prefix: &format!("AUTH_{}_", self.name.to_uppercase()),
        };
        let definition = self.read(&reader);
        if reader.flag("ENABLED", false)? {
            definition.map(Some)
        } else {
            Ok(None)
        }
    }

    fn read(&self, reader: &Reader<'_>) -> Result<Definition, ConfigErrors> {
        let Self { name, label, .. } = *self;
        let provider: ProviderName = name
            .parse()
            .map_err(|_| ConfigError::new(name, "is not the name of a provider"))?;
        let rules = ScopeRules::of(&provider);
        read_all! {
            let (discovery, issuer) = (self.issuer)(reader);
            let custom_label = reader.optional("LABEL");
            let client_id = reader.client_id(label);
            let credentials = ClientCredentials::read_built_in(reader, label);
            let select_account = reader.optional_flag("SELECT_ACCOUNT");
            let sign_in_callback =
                reader.callback("CALLBACK_URL", &format!("/auth/{name}/redirect"));
            let connect_callback = reader.callback(
                "APIS_CALLBACK_URL",
                &format!("/auth/{name}-apis/get-access-token"),
            );
            let identity = reader.identity_scopes();
            let messages = self.messages.read(reader, "MESSAGING_SCOPES", rules);
            let calendar = self.calendar.read(reader, "CALENDAR_SCOPES", rules);
            let auto_connect = AutoConnect::read(reader);
            let sign_out = SignOut::read(reader);
            let authentication = AuthenticationRequirement::read(reader);
        }
        let definition = Definition {
            name: provider,
            quirks: self.quirks,
            built_in: true,
            label: custom_label.unwrap_or_else(|| label.into()),
            discovery: well_known(&discovery),
            issuer,
            client_id,
            client_secret: credentials.secret,
            client_authentication: credentials.authentication,
            assertion_audience: credentials.audience,
            audiences: BTreeSet::new(),
            email_claim: email::CLAIM.to_owned(),
            subject_claim: None,
            authorize_parameters: Vec::new(),
            authentication,
            // None of them announces the endpoint.
            pushed_authorization: PushedAuthorization::IfRequired,
            select_account,
            sign_in_callback,
            connect_callback,
            identity,
            email: EmailRule::default(),
            offline: ScopeSet::parse(self.offline),
            offline_scope: OfflineScope::Always,
            messages,
            calendar,
            auto_connect,
            rotation: self.rotation,
            form_post: false,
            revocation: self.revocation,
            sign_out,
        };
        if definition.assertion_audience == Audience::Issuer
            && matches!(definition.issuer, IssuerRule::PerTenant { .. })
        {
            let problem = "must be token_endpoint, because each tenant has its own issuer";
            return Err(reader.error("TOKEN_AUTH_AUDIENCE", problem).into());
        }
        (self.check)(&definition)?;
        Ok(definition)
    }
}

impl Data {
    /// What is requested; `None` if it is switched off.
    fn read(
        &self,
        reader: &Reader<'_>,
        suffix: &str,
        rules: ScopeRules,
    ) -> Result<Option<RequestedData>, ConfigErrors> {
        read_all! {
            let on = reader.environment.flag(self.switch, false);
            let scopes = reader.scopes(suffix, self.scopes);
        }
        Ok(on.then(|| RequestedData::new(scopes, self.readers, rules)))
    }
}
