//! The query of a sign-in's start → what the flow carries.

use latchkey_domain::Handle;
use url::Url;

use crate::config::parse_domain;
use crate::login::flow::{CalendarVisibility, Context, MessageVisibility};
use crate::login::query::Query;
use crate::login::redirect::{ReturnPolicy, ReturnRefused};

/// Invitations are 43 characters; links of older systems may be longer.
const MAX_INVITE: usize = 200;

/// Characters of a refused origin that are logged.
const MAX_LOGGED: usize = 200;

/// Language tags have 35 characters at most (RFC 5646 section 4.4.1).
const MAX_LOCALE: usize = 35;

/// A parameter that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Its value is none.
    #[error("the parameter {name} must be {rule}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// It leads out of the deployment; its origin is logged.
    #[error("{0} (origin {1}; allowed ones are PUBLIC_URL, APP_URL and ALLOWED_RETURN_ORIGINS)")]
    Return(ReturnRefused, String),
}

const fn invalid(name: &'static str, rule: &'static str) -> ParameterError {
    ParameterError::Invalid { name, rule }
}

/// Reads what a sign-in or a connection is started with.
///
/// # Errors
/// A parameter is invalid, or the return location leads elsewhere.
pub fn context_of(query: &Query, returns: &ReturnPolicy) -> Result<Context, ParameterError> {
    let text = |name: &'static str, max: usize| match query.get(name) {
        Some(value) if value.len() > max || value.chars().any(char::is_control) => {
            Err(invalid(name, "shorter"))
        }
        value => Ok(value.map(str::to_owned)),
    };
    Ok(Context {
        workspace: query
            .get("workspaceId")
            .map(|value| value.parse().map_err(|_| invalid("workspaceId", "a UUID")))
            .transpose()?,
        subdomain: query
            .any(&["workspaceSubdomain", "workspace"])
            .map(|value| subdomain_of(value).ok_or(invalid("workspaceSubdomain", "a host label")))
            .transpose()?,
        public_invite: text("workspaceInviteHash", MAX_INVITE)?,
        personal_invite: text("workspacePersonalInviteToken", MAX_INVITE)?,
        return_to: query
            .any(&["returnTo", "redirectLocation", "returnToPath"])
            .map(|value| {
                let refused = |refused| ParameterError::Return(refused, origin_of(value));
                returns.accept(value).map_err(refused)
            })
            .transpose()?,
        hosted_domain: query
            .any(&["hostedDomain", "hd"])
            .map(|value| parse_domain(value).map_err(|_| invalid("hostedDomain", "a domain")))
            .transpose()?,
        login_hint: query
            .any(&["loginHint", "login_hint"])
            .map(|value| {
                value
                    .parse::<Handle>()
                    .map(String::from)
                    .map_err(|_| invalid("loginHint", "a mail address"))
            })
            .transpose()?,
        locale: query
            .get("locale")
            .map(|value| locale_of(value).ok_or(invalid("locale", "a language tag")))
            .transpose()?,
        code_challenge: query
            .any(&["codeChallenge", "code_challenge"])
            .map(|value| {
                is_challenge(value)
                    .then(|| value.to_owned())
                    .ok_or(invalid("codeChallenge", "a S256 challenge (RFC 7636)"))
            })
            .transpose()?,
        message_visibility: query
            .get("messageVisibility")
            .map(message_visibility)
            .transpose()?,
        calendar_visibility: query
            .get("calendarVisibility")
            .map(calendar_visibility)
            .transpose()?,
    })
}

/// Origin of a refused return location, as it may be logged.
fn origin_of(text: &str) -> String {
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    origin.map_or("none".to_owned(), |origin| {
        origin.chars().take(MAX_LOGGED).collect()
    })
}

/// SHA-256 in base64url.
fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn subdomain_of(text: &str) -> Option<String> {
    let label = text.to_ascii_lowercase();
    // The rule of a domain's labels; the suffix makes a domain of it.
    let whole = format!("{label}.x");
    (!label.contains('.') && parse_domain(&whole).as_ref() == Ok(&whole)).then_some(label)
}

/// A language tag by its alphabet (RFC 5646): it goes on to the provider.
fn locale_of(text: &str) -> Option<String> {
    let sound = (1..=MAX_LOCALE).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    // `de_AT` is how other systems write `de-AT`.
    sound.then(|| text.replace('_', "-"))
}

fn message_visibility(text: &str) -> Result<MessageVisibility, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "METADATA" => Ok(MessageVisibility::Metadata),
        "SUBJECT" => Ok(MessageVisibility::Subject),
        "SHARE_EVERYTHING" => Ok(MessageVisibility::ShareEverything),
        _ => Err(invalid(
            "messageVisibility",
            "METADATA, SUBJECT or SHARE_EVERYTHING",
        )),
    }
}

fn calendar_visibility(text: &str) -> Result<CalendarVisibility, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "METADATA" => Ok(CalendarVisibility::Metadata),
        "SHARE_EVERYTHING" => Ok(CalendarVisibility::ShareEverything),
        _ => Err(invalid(
            "calendarVisibility",
            "METADATA or SHARE_EVERYTHING",
        )),
    }
}
