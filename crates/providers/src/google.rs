//! Google.
//!
//! Keeps the refresh token over refreshes and gives one only with
//! `access_type=offline` and a consent; `hd` tells the organisation.
//!
//! `AUTH_GOOGLE_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, `_CALLBACK_URL`,
//! `_APIS_CALLBACK_URL`, `_ISSUER`, `_LABEL`, `_SCOPES`, `_MESSAGING_SCOPES`,
//! `_CALENDAR_SCOPES`, `_AUTO_CONNECT`, `_AUTO_CONNECT_DOMAINS`, `_SELECT_ACCOUNT`;
//! `MESSAGING_PROVIDER_GMAIL_ENABLED`, `CALENDAR_PROVIDER_GOOGLE_ENABLED`.

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{DomainName, ProviderName};

use crate::built_in::{BuiltIn, Data};
use crate::claims::Claims;
use crate::definition::{Definition, IssuerRule};
use crate::{AuthorizeRequest, ProviderKind, RevocationReach, Rotation};

const ISSUER: &str = "https://accounts.google.com";

const GOOGLE: BuiltIn = BuiltIn {
    name: ProviderName::GOOGLE,
    kind: ProviderKind::Google,
    label: "Google",
    // Offline access is a parameter here, not a scope.
    offline: "",
    rotation: Rotation::None,
    // https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke
    revocation: RevocationReach::PersonAndClient,
    messages: Data {
        switch: "MESSAGING_PROVIDER_GMAIL_ENABLED",
        scopes: "https://www.googleapis.com/auth/gmail.readonly \
                 https://www.googleapis.com/auth/gmail.send \
                 https://www.googleapis.com/auth/gmail.compose \
                 https://www.googleapis.com/auth/profile.emails.read",
        readers: &["https://www.googleapis.com/auth/gmail.readonly"],
    },
    calendar: Data {
        switch: "CALENDAR_PROVIDER_GOOGLE_ENABLED",
        scopes: "https://www.googleapis.com/auth/calendar.events",
        readers: &["https://www.googleapis.com/auth/calendar.events.readonly"],
    },
};

pub(crate) fn definition(environment: &Environment) -> Result<Option<Definition>, ConfigError> {
    GOOGLE.definition(environment, |reader| {
        let (issuer, url) = reader.issuer("ISSUER", Some(ISSUER))?;
        let rule = IssuerRule::Exact {
            issuer,
            tenant: None,
        };
        Ok((url, rule))
    })
}

/// Google's own parameters of the authorize URL.
pub(crate) fn authorize_parameters(
    request: &AuthorizeRequest,
    prompts: &[&str],
    with_data: bool,
) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if with_data {
        parameters.push(("access_type", "offline".to_owned()));
        // A later, narrower grant then has the earlier scopes too, so that a
        // plain sign-in never narrows a mailbox's token.
        parameters.push(("include_granted_scopes", "true".to_owned()));
    }
    if !prompts.is_empty() {
        parameters.push(("prompt", prompts.join(" ")));
    }
    if let Some(domain) = &request.hosted_domain {
        parameters.push(("hd", domain.clone()));
    }
    parameters
}

/// The organisation that owns the account. Any text in the claim names one; a
/// domain is in its one form.
pub(crate) fn hosted_domain(claims: &Claims) -> Option<String> {
    let text = claims.text("hd")?;
    Some(
        text.parse::<DomainName>()
            .map_or_else(|_| text.to_lowercase(), String::from),
    )
}
