//! The query of a sign-in's start → what the flow carries.

use latchkey_domain::Handle;
use url::Url;

use crate::config::parse_domain;
use crate::login::flow::{CalendarVisibility, Context, MessageVisibility};
use crate::login::query::Query;
use crate::login::redirect::{ReturnLocation, ReturnPolicy, ReturnRefused};
use crate::login::start_parameter::{
    CALENDAR_VISIBILITY, CODE_CHALLENGE, HOSTED_DOMAIN, LOCALE, LOGIN_HINT, MESSAGE_VISIBILITY,
    PERSONAL_INVITE, PUBLIC_INVITE, RETURN_TO, StartParameter, WORKSPACE_ID, WORKSPACE_SUBDOMAIN,
};

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

/// A value of `name` that breaks its rule.
pub const fn invalid_value(name: &'static str, rule: &'static str) -> ParameterError {
    ParameterError::Invalid { name, rule }
}

const fn invalid(parameter: &StartParameter, rule: &'static str) -> ParameterError {
    invalid_value(parameter.name, rule)
}

/// Reads what a sign-in or a connection is started with.
///
/// # Errors
/// A parameter is invalid, or the return location leads elsewhere.
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

/// Reads where a person is to go afterwards.
///
/// # Errors
/// It leads elsewhere.
pub fn return_location(
    text: &str,
    returns: &ReturnPolicy,
) -> Result<ReturnLocation, ParameterError> {
    let refused = |refused| ParameterError::Return(refused, origin_of(text));
    returns.accept(text).map_err(refused)
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
