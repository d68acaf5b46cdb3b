//! Parses the query of a start into the context of the flow.

use latchkey_domain::Handle;
use url::Url;

use crate::http::query::Query;
use crate::login::context::{CalendarVisibility, Context, MessageVisibility};
use crate::login::domain_list::parse_domain;
use crate::login::redirect::{ReturnLocation, ReturnPolicy, ReturnRefused};
use crate::login::start_parameter::{
    CALENDAR_VISIBILITY, CODE_CHALLENGE, HOSTED_DOMAIN, LOCALE, LOGIN_HINT, MESSAGE_VISIBILITY,
    PERSONAL_INVITE, PUBLIC_INVITE, RETURN_TO, StartParameter, WORKSPACE_ID, WORKSPACE_SUBDOMAIN,
};

/// Maximum length of an invitation token. Tokens have 43 characters; links of older systems
/// may have longer ones.
const MAX_INVITE: usize = 200;

/// Maximum number of characters of a refused origin in the log.
const MAX_LOGGED: usize = 200;

/// Maximum length of a language tag (RFC 5646 section 4.4.1).
const MAX_LOCALE: usize = 35;

/// Why a parameter is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The value breaks the rule of the parameter.
    #[error("the parameter {name} must be {rule}")]
    Invalid {
        /// Name of the parameter.
        name: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// The return location is outside the deployment. Its origin is logged.
    #[error("{0} (origin {1}; allowed ones are PUBLIC_URL, APP_URL and ALLOWED_RETURN_ORIGINS)")]
    Return(ReturnRefused, String),
}

/// Builds the error for a value that breaks its rule.
pub const fn invalid_value(name: &'static str, rule: &'static str) -> ParameterError {
    ParameterError::Invalid { name, rule }
}

const fn invalid(parameter: &StartParameter, rule: &'static str) -> ParameterError {
    invalid_value(parameter.name, rule)
}

/// Parses the parameters of a sign-in or a connection.
///
/// # Errors
/// Returns an error if a parameter is invalid, or the return location is outside the
/// deployment.
pub fn context_of(query: &Query, returns: &ReturnPolicy) -> Result<Context, ParameterError> {
    let text = |parameter: &StartParameter, max: usize| match query.of(parameter) {
        Some(value) if value.len() > max || value.chars().any(char::is_control) => {
            Err(invalid(parameter, "shorter"))
        }
        value => Ok(value.map(str::to_owned)),
    };
    Ok(Context {
        workspace: query
            .of(&WORKSPACE_ID)
            .map(|value| value.parse().map_err(|_| invalid(&WORKSPACE_ID, "a UUID")))
            .transpose()?,
        subdomain: query
            .of(&WORKSPACE_SUBDOMAIN)
            .map(|value| subdomain_of(value).ok_or(invalid(&WORKSPACE_SUBDOMAIN, "a host label")))
            .transpose()?,
        public_invite: text(&PUBLIC_INVITE, MAX_INVITE)?,
        personal_invite: text(&PERSONAL_INVITE, MAX_INVITE)?,
        return_to: query
            .of(&RETURN_TO)
            .map(|value| return_location(value, returns))
            .transpose()?,
        hosted_domain: query
            .of(&HOSTED_DOMAIN)
            .map(|value| parse_domain(value).map_err(|_| invalid(&HOSTED_DOMAIN, "a domain")))
            .transpose()?,
        login_hint: query
            .of(&LOGIN_HINT)
            .map(|value| {
                value
                    .parse::<Handle>()
                    .map(String::from)
                    .map_err(|_| invalid(&LOGIN_HINT, "a mail address"))
            })
            .transpose()?,
        locale: query
            .of(&LOCALE)
            .map(|value| locale_of(value).ok_or(invalid(&LOCALE, "a language tag")))
            .transpose()?,
        code_challenge: query
            .of(&CODE_CHALLENGE)
            .map(|value| {
                is_challenge(value)
                    .then(|| value.to_owned())
                    .ok_or(invalid(&CODE_CHALLENGE, "a S256 challenge (RFC 7636)"))
            })
            .transpose()?,
        message_visibility: query
            .of(&MESSAGE_VISIBILITY)
            .map(message_visibility)
            .transpose()?,
        calendar_visibility: query
            .of(&CALENDAR_VISIBILITY)
            .map(calendar_visibility)
            .transpose()?,
    })
}

/// Parses a return location.
///
/// # Errors
/// Returns an error if it is outside the deployment.
pub fn return_location(
    text: &str,
    returns: &ReturnPolicy,
) -> Result<ReturnLocation, ParameterError> {
    let refused = |refused| ParameterError::Return(refused, origin_of(text));
    returns.accept(text).map_err(refused)
}

/// Returns the origin of a refused return location, for the log.
fn origin_of(text: &str) -> String {
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    origin.map_or("none".to_owned(), |origin| {
        origin.chars().take(MAX_LOGGED).collect()
    })
}

/// Returns `true` if the text is a SHA-256 in base64url.
fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn subdomain_of(text: &str) -> Option<String> {
    let label = text.to_ascii_lowercase();
    // A label has the same rule as in a domain; the suffix makes it a domain.
    let whole = format!("{label}.x");
    (!label.contains('.') && parse_domain(&whole).as_ref() == Ok(&whole)).then_some(label)
}

/// Returns a language tag if it has only the characters of RFC 5646, because it is passed
/// on to the provider.
fn locale_of(text: &str) -> Option<String> {
    let sound = (1..=MAX_LOCALE).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    // Other systems write `de_AT` instead of `de-AT`.
    sound.then(|| text.replace('_', "-"))
}

fn message_visibility(text: &str) -> Result<MessageVisibility, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "METADATA" => Ok(MessageVisibility::Metadata),
        "SUBJECT" => Ok(MessageVisibility::Subject),
        "SHARE_EVERYTHING" => Ok(MessageVisibility::ShareEverything),
        _ => Err(invalid(
            &MESSAGE_VISIBILITY,
            "METADATA, SUBJECT or SHARE_EVERYTHING",
        )),
    }
}

fn calendar_visibility(text: &str) -> Result<CalendarVisibility, ParameterError> {
    match text.to_ascii_uppercase().as_str() {
        "METADATA" => Ok(CalendarVisibility::Metadata),
        "SHARE_EVERYTHING" => Ok(CalendarVisibility::ShareEverything),
        _ => Err(invalid(
            &CALENDAR_VISIBILITY,
            "METADATA or SHARE_EVERYTHING",
        )),
    }
}

#[cfg(test)]
mod tests;
