//! The table of parameters of a start. The start, its pages, the error pages and the
//! OpenAPI description use it.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{Deprecated, Required};

use crate::http::query::Query;

/// A parameter of a start.
#[derive(Debug)]
pub struct StartParameter {
    /// Name of the parameter.
    pub name: &'static str,
    /// Other names that are accepted, because front ends and links of other systems use
    /// them.
    pub aliases: &'static [&'static str],
    /// Whether a page passes it on to the page or the start that follows.
    pub carried: bool,
    /// Whether it is a choice of the person. A GET with it leads to the review page.
    pub choice: bool,
    /// Description for OpenAPI.
    about: &'static str,
}

const fn of(name: &'static str, about: &'static str) -> StartParameter {
    StartParameter {
        name,
        aliases: &[],
        carried: true,
        choice: false,
        about,
    }
}

impl StartParameter {
    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn chosen(mut self) -> Self {
        self.choice = true;
        self
    }

    const fn not_carried(mut self) -> Self {
        self.carried = false;
        self
    }

    /// Returns every accepted name, the own name first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Workspace by its id.
pub const WORKSPACE_ID: StartParameter = of("workspaceId", "Workspace by its id.");
/// Workspace by the first label of its host.
pub const WORKSPACE_SUBDOMAIN: StartParameter = of(
    "workspaceSubdomain",
    "Workspace by the first label of its host.",
)
.also(&["workspace"]);
/// Token of a public invitation.
pub const PUBLIC_INVITE: StartParameter =
    of("workspaceInviteHash", "Token of a public invitation.").chosen();
/// Token of a personal invitation.
pub const PERSONAL_INVITE: StartParameter = of(
    "workspacePersonalInviteToken",
    "Token of a personal invitation.",
)
.chosen();
/// Return location.
pub const RETURN_TO: StartParameter = of(
    "returnTo",
    "Where to go afterwards: a path of the app, or a URL on a known origin.",
)
.also(&["redirectLocation", "returnToPath"]);
/// Code challenge of the front end that fetches the session.
pub const CODE_CHALLENGE: StartParameter = of(
    "codeChallenge",
    "S256 challenge (RFC 7636) of the front end on another origin that fetches the session.",
)
.also(&["code_challenge"]);
/// Domain that the person is expected to choose.
pub const HOSTED_DOMAIN: StartParameter = of(
    "hostedDomain",
    "Domain that the person is expected to choose.",
)
.also(&["hd"]);
/// Address that the person is expected to choose.
pub const LOGIN_HINT: StartParameter = of(
    "loginHint",
    "Address that the person is expected to choose.",
)
.also(&["login_hint"]);
/// Language tag.
pub const LOCALE: StartParameter = of("locale", "Language tag.");
/// How the provider prompts the person.
pub const PROMPT: StartParameter = of(
    "prompt",
    "`consent` asks for consent again. With any value, a person who is signed in is sent to the provider too.",
);
/// Who sees which part of the mailbox.
pub const MESSAGE_VISIBILITY: StartParameter = of(
    "messageVisibility",
    "METADATA, SUBJECT or SHARE_EVERYTHING.",
)
.chosen();
/// Who sees which part of the calendar.
pub const CALENDAR_VISIBILITY: StartParameter =
    of("calendarVisibility", "METADATA or SHARE_EVERYTHING.").chosen();
/// Whether an account is connected again.
pub const RECONNECT: StartParameter = of(
    "reconnect",
    "Any value: the account is to be connected again.",
)
.chosen();
/// `connect`, on the pages. At the start, the path says it.
pub const PURPOSE: StartParameter = of(
    "purpose",
    "`connect` on the review page: one more account is connected.",
)
.not_carried();

/// All parameters.
pub const ALL: [StartParameter; 14] = [
    WORKSPACE_ID,
    WORKSPACE_SUBDOMAIN,
    PUBLIC_INVITE,
    PERSONAL_INVITE,
    RETURN_TO,
    CODE_CHALLENGE,
    HOSTED_DOMAIN,
    LOGIN_HINT,
    LOCALE,
    PROMPT,
    MESSAGE_VISIBILITY,
    CALENDAR_VISIBILITY,
    RECONNECT,
    PURPOSE,
];

impl Query {
    /// Returns the value of a parameter by any of its names.
    pub fn of(&self, parameter: &StartParameter) -> Option<&str> {
        parameter.names().find_map(|name| self.get(name))
    }

    /// Returns `true` if the query has a choice of the person.
    pub fn chooses(&self) -> bool {
        ALL.iter()
            .any(|parameter| parameter.choice && self.of(parameter).is_some())
    }
}

/// Returns the parameters that a page passes on.
pub fn carried(query: &Query) -> Vec<(String, String)> {
    ALL.iter()
        .filter(|parameter| parameter.carried)
        .filter_map(|parameter| Some((parameter.name.to_owned(), query.of(parameter)?.to_owned())))
        .collect()
}

/// The table in the OpenAPI description.
pub(crate) struct StartParameters;

impl IntoParams for StartParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let one = |name: &str, about: String, deprecated: bool| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(about))
                .deprecated(deprecated.then_some(Deprecated::True))
                .schema(Some(Object::with_type(Type::String)))
                .build()
        };
        ALL.iter()
            .flat_map(|parameter| {
                let own = one(parameter.name, parameter.about.to_owned(), false);
                let aliases = parameter.aliases.iter().map(move |alias| {
                    one(alias, format!("The same as `{}`.", parameter.name), true)
                });
                std::iter::once(own).chain(aliases)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_stands_for_two_parameters() {
        let names: Vec<&str> = ALL.iter().flat_map(StartParameter::names).collect();
        let different: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), different.len(), "{names:?}");
    }

    #[test]
    fn what_is_read_by_any_name_is_carried_by_its_own() {
        for parameter in ALL.iter().filter(|parameter| parameter.carried) {
            for name in parameter.names() {
                let query = Query::single(name, "value");
                let pair = (parameter.name.to_owned(), "value".to_owned());
                assert_eq!(carried(&query), [pair], "{name}");
                assert_eq!(query.chooses(), parameter.choice, "{name}");
            }
        }
    }
}
