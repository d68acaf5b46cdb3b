//! Google.
//!
//! Keeps the refresh token over refreshes and gives one only with
//! `access_type=offline` and a consent; `hd` tells the organisation.
//!
//! `AUTH_GOOGLE_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, `_CALLBACK_URL`,
//! `_APIS_CALLBACK_URL`, `_ISSUER`, `_LABEL`, `_SCOPES`, `_MESSAGING_SCOPES`,
//! `_CALENDAR_SCOPES`, `_AUTO_CONNECT`, `_AUTO_CONNECT_DOMAINS`;
//! `MESSAGING_PROVIDER_GMAIL_ENABLED`, `CALENDAR_PROVIDER_GOOGLE_ENABLED`.

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{Handle, ScopeSet};

use crate::claims::Claims;
use crate::definition::{Definition, IssuerRule, Reader, Wanted, data_switch, well_known};
use crate::{AuthorizeRequest, ProviderKind, Purpose, Rotation};

const SWITCH: &str = "AUTH_GOOGLE_ENABLED";
const ISSUER: &str = "https://accounts.google.com";
const IDENTITY: &str = "openid email profile";
const MESSAGES: &str = "https://www.googleapis.com/auth/gmail.readonly \
     https://www.googleapis.com/auth/gmail.send \
     https://www.googleapis.com/auth/gmail.compose \
     https://www.googleapis.com/auth/profile.emails.read";
const MESSAGES_READERS: &[&str] = &[
    "https://mail.google.com/",
    "https://www.googleapis.com/auth/gmail.modify",
    "https://www.googleapis.com/auth/gmail.readonly",
];
const CALENDAR: &str = "https://www.googleapis.com/auth/calendar.events";
const CALENDAR_READERS: &[&str] = &[
    "https://www.googleapis.com/auth/calendar",
    "https://www.googleapis.com/auth/calendar.events",
    "https://www.googleapis.com/auth/calendar.events.readonly",
    "https://www.googleapis.com/auth/calendar.readonly",
];

pub(crate) fn definition(environment: &Environment) -> Result<Option<Definition>, ConfigError> {
    let on = environment.flag(SWITCH, false)?;
    let mail = data_switch(environment, "MESSAGING_PROVIDER_GMAIL_ENABLED", SWITCH, on)?;
    let calendar = data_switch(environment, "CALENDAR_PROVIDER_GOOGLE_ENABLED", SWITCH, on)?;
    if !on {
        return Ok(None);
    }
    let reader = Reader {
        environment,
        prefix: "AUTH_GOOGLE_",
    };
    let (issuer, url) = reader.issuer("ISSUER", Some(ISSUER))?;
    let wanted = |suffix, default, readers| {
        reader
            .scopes(suffix, default)
            .map(|scopes| Wanted::new(scopes, readers))
    };
    Ok(Some(Definition {
        name: crate::registry::fixed_name("google")?,
        kind: ProviderKind::Google,
        label: reader
            .optional("LABEL")?
            .unwrap_or_else(|| "Google".to_owned()),
        discovery: well_known(&url),
        issuer: IssuerRule::Exact(issuer),
        client_id: reader.client_id("Google")?,
        client_secret: Some(reader.client_secret("Google")?),
        sign_in_callback: reader.callback("CALLBACK_URL", "/auth/google/redirect")?,
        connect_callback: reader
            .callback("APIS_CALLBACK_URL", "/auth/google-apis/get-access-token")?,
        identity: reader.identity_scopes(IDENTITY)?,
        // Offline access is a parameter here, not a scope.
        offline: ScopeSet::default(),
        messages: mail
            .then(|| wanted("MESSAGING_SCOPES", MESSAGES, MESSAGES_READERS))
            .transpose()?,
        calendar: calendar
            .then(|| wanted("CALENDAR_SCOPES", CALENDAR, CALENDAR_READERS))
            .transpose()?,
        auto_connect: reader.auto_connect()?,
        rotation: Rotation::None,
    }))
}

/// Google's own parameters of the authorize URL.
pub(crate) fn authorize_parameters(
    request: &AuthorizeRequest,
    with_data: bool,
) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if with_data {
        parameters.push(("access_type", "offline".to_owned()));
        // A later, narrower grant then has the earlier scopes too, so that a
        // plain sign-in never narrows a mailbox's token.
        parameters.push(("include_granted_scopes", "true".to_owned()));
    }
    let mut prompt = Vec::new();
    if request.consent {
        prompt.push("consent");
    }
    if request.purpose == Purpose::Connect && request.login_hint.is_none() {
        prompt.push("select_account");
    }
    if !prompt.is_empty() {
        parameters.push(("prompt", prompt.join(" ")));
    }
    if let Some(domain) = &request.hosted_domain {
        parameters.push(("hd", domain.clone()));
    }
    parameters
}

/// The address, whether Google vouches for it, and the organisation.
pub(crate) fn mail(claims: &Claims) -> (Option<Handle>, bool, Option<String>) {
    let email = claims.handle("email");
    let verified = email.is_some() && claims.says_yes("email_verified");
    let hosted_domain = claims.text("hd").map(str::to_lowercase);
    (email, verified, hosted_domain)
}
