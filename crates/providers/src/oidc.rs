//! Any OpenID provider, by its variables alone (R3).
//!
//! Variables: `AUTH_OIDC_<NAME>_ISSUER`, `_CLIENT_ID`, `_CLIENT_SECRET` (absent for a public
//! client), `_TOKEN_AUTH_METHOD`, `_TOKEN_AUTH_SIGNING_ALG`, `_TOKEN_AUTH_AUDIENCE`,
//! `_PRIVATE_KEY`, `_PRIVATE_KEY_ID`, `_CLIENT_ASSERTION_FILE`, `_LABEL`,
//! `_SCOPES`, `_MESSAGING_SCOPES`, `_CALENDAR_SCOPES`, `_OFFLINE`, `_ACR_VALUES`, `_MAX_AGE`,
//! `_PUSHED_AUTHORIZATION_REQUESTS`,
//! `_AUTHORIZE_PARAMETERS`, `_SELECT_ACCOUNT`, `_AUDIENCES`, `_CALLBACK_URL`,
//! `_APIS_CALLBACK_URL`, `_AUTO_CONNECT`, `_AUTO_CONNECT_DOMAINS`, `_EMAIL_CLAIM`,
//! `_EMAIL_DOMAINS`, `_TRUST_EMAIL`, `_SUBJECT_CLAIM`, `_ROTATION`,
//! `_RESPONSE_MODE`, `_SIGN_OUT`, `_ENABLED`.

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_domain::{ProviderName, ScopeSet};

use crate::authentication::AuthenticationRequirement;
use crate::catalogue;
use crate::client_auth::ClientCredentials;
use crate::definition::{AutoConnect, Definition, RequestedData, well_known};
use crate::email::{self, EmailRule};
use crate::issuer::IssuerRule;
use crate::offline_scope::OfflineScope;
use crate::pushed_authorization::PushedAuthorization;
use crate::quirks::Plain;
use crate::reader::Reader;
use crate::sign_out::SignOut;
use crate::{RevocationReach, Rotation, ScopeRules};

const PREFIX: &str = "AUTH_OIDC_";
const OFFLINE: &str = "offline_access";

/// Reads every definition `AUTH_OIDC_<NAME>_…` that is not switched off. The variables of the
/// others are read too, without consequences.
pub(crate) fn definitions(environment: &Environment) -> Result<Vec<Definition>, ConfigErrors> {
    let mut names = environment.between(PREFIX, "_ISSUER");
    // A client id without an issuer is an incomplete definition, and an error.
    names.extend(environment.between(PREFIX, "_CLIENT_ID"));
    names.sort();
    names.dedup();
    let mut errors = ConfigErrors::default();
    let mut definitions = Vec::new();
    for name in names {
        let prefix = format!("{PREFIX}{name}_");
        let reader = Reader {
            environment,
            prefix: &prefix,
        };
        let definition = definition(&reader, &name);
        if errors.take(reader.flag("ENABLED", true)) == Some(true) {
            definitions.extend(errors.take(definition));
        }
    }
    errors.or(definitions)
}

fn definition(reader: &Reader<'_>, upper: &str) -> Result<Definition, ConfigErrors> {
    let wrong = |problem: &str| Err(ConfigErrors::from(reader.error("ISSUER", problem)));
    if upper != upper.to_uppercase() {
        return wrong("the NAME in AUTH_OIDC_<NAME>_ISSUER must be upper case");
    }
    let Ok(name) = upper.to_lowercase().parse::<ProviderName>() else {
        return wrong("the NAME in AUTH_OIDC_<NAME>_ISSUER must be 1 to 40 of A-Z, 0-9, _");
    };
    if catalogue::is_built_in(name.as_str()) {
        let taken = catalogue::built_in_names().map(str::to_uppercase);
        let taken: Vec<String> = taken.collect();
        let taken = taken.join(" or ");
        return wrong(&format!(
            "the NAME in AUTH_OIDC_<NAME>_ISSUER must not be {taken}"
        ));
    }
    read_all! {
        let (issuer, url) = reader.issuer("ISSUER", None);
        let client_id = reader.client_id(name.as_str());
        let credentials = ClientCredentials::read(reader);
        let label = reader.optional("LABEL");
        let audiences = reader.environment.list(&reader.name("AUDIENCES"));
        let email_claim = claim(reader, "EMAIL_CLAIM");
        let subject_claim = claim(reader, "SUBJECT_CLAIM");
        let authorize_parameters = authorize_parameters(reader);
        let authentication = AuthenticationRequirement::read(reader);
        let pushed_authorization = PushedAuthorization::read(reader);
        let select_account = reader.optional_flag("SELECT_ACCOUNT");
        let sign_in_callback =
            reader.callback("CALLBACK_URL", &format!("/auth/oidc/{name}/redirect"));
        let connect_callback = reader.callback(
            "APIS_CALLBACK_URL",
            &format!("/auth/oidc-apis/{name}/get-access-token"),
        );
        let identity = reader.identity_scopes();
        let email = EmailRule::read(reader);
        let offline_scope = OfflineScope::read(reader);
        let messages = requested(reader, "MESSAGING_SCOPES");
        let calendar = requested(reader, "CALENDAR_SCOPES");
        let auto_connect = AutoConnect::read(reader);
        let rotation = rotation(reader);
        let form_post = form_post(reader);
        let sign_out = SignOut::read(reader);
    }
    refuse_twice(reader, &authorize_parameters, &authentication)?;
    Ok(Definition {
        quirks: &Plain,
        built_in: false,
        label: label.unwrap_or_else(|| name.to_string()),
        discovery: well_known(&url),
        issuer: IssuerRule::Exact {
            issuer,
            tenant: None,
        },
        client_id,
        client_authentication: credentials.authentication,
        assertion_audience: credentials.audience,
        client_secret: credentials.secret,
        audiences: audiences.into_iter().collect(),
        email_claim: email_claim.unwrap_or_else(|| email::CLAIM.to_owned()),
        subject_claim,
        authorize_parameters,
        authentication,
        pushed_authorization,
        select_account,
        sign_in_callback,
        connect_callback,
        identity,
        email,
        offline: ScopeSet::parse(OFFLINE),
        offline_scope,
        messages,
        calendar,
        auto_connect,
        rotation,
        form_post,
        revocation: RevocationReach::Authorization,
        sign_out,
        name,
    })
}

/// The scopes of one kind of data, if some are configured.
fn requested(reader: &Reader<'_>, suffix: &str) -> Result<Option<RequestedData>, ConfigError> {
    let scopes = reader.scopes(suffix, "")?;
    Ok((!scopes.is_empty()).then(|| RequestedData::new(scopes, &[], ScopeRules::EXACT)))
}

/// Strict unless configured: with that assumption no refresh token is used twice.
fn rotation(reader: &Reader<'_>) -> Result<Rotation, ConfigError> {
    match reader.optional("ROTATION")?.as_deref() {
        None | Some("strict") => Ok(Rotation::Strict),
        Some("soft") => Ok(Rotation::Soft),
        Some("none") => Ok(Rotation::None),
        Some(_) => Err(reader.error("ROTATION", "must be none, soft or strict")),
    }
}

/// Returns `true` if the provider is asked to send the browser back with a POST (OAuth 2.0
/// Form Post Response Mode), which keeps the code out of URLs.
fn form_post(reader: &Reader<'_>) -> Result<bool, ConfigError> {
    match reader.optional("RESPONSE_MODE")?.as_deref() {
        None | Some("query") => Ok(false),
        Some("form_post") => Ok(true),
        Some(_) => Err(reader.error("RESPONSE_MODE", "must be query or form_post")),
    }
}

/// Parameters that the sign-in sets itself, or that would replace them.
const OWN_PARAMETERS: [&str; 16] = [
    "client_id",
    "response_type",
    "response_mode",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "login_hint",
    "ui_locales",
    "request",
    "request_uri",
    "client_secret",
    "registration",
];

/// Further parameters of the authorize URL, in the syntax of a query.
fn authorize_parameters(reader: &Reader<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    const NAME: &str = "AUTHORIZE_PARAMETERS";
    let text = reader.optional(NAME)?.unwrap_or_default();
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes()) {
        if name.is_empty() || value.is_empty() {
            let problem = "must be name=value, with & between, such as \
                           audience=https%3A%2F%2Fapi.acme.example&domain_hint=acme.example";
            return Err(reader.error(NAME, problem));
        }
        if OWN_PARAMETERS.contains(&name.as_ref()) {
            let problem = format!("has {name}, which the sign-in sets itself: remove it");
            return Err(reader.error(NAME, problem));
        }
        if parameters.iter().any(|(known, _)| *known == name) {
            return Err(reader.error(NAME, format!("has {name} twice")));
        }
        parameters.push((name.into_owned(), value.into_owned()));
    }
    Ok(parameters)
}

/// Refuses a parameter that a variable of its own sets too.
fn refuse_twice(
    reader: &Reader<'_>,
    parameters: &[(String, String)],
    authentication: &AuthenticationRequirement,
) -> Result<(), ConfigError> {
    for (name, _) in authentication.parameters() {
        if parameters.iter().any(|(known, _)| known == name) {
            let variable = reader.name(&name.to_uppercase());
            let problem = format!("has {name}, which {variable} sets: remove one of them");
            return Err(reader.error("AUTHORIZE_PARAMETERS", problem));
        }
    }
    Ok(())
}

/// Reads the name of a claim about the person.
fn claim(reader: &Reader<'_>, suffix: &str) -> Result<Option<String>, ConfigError> {
    /// Claims that have a fixed meaning of their own.
    const TAKEN: [&str; 9] = [
        "iss",
        "aud",
        "exp",
        "iat",
        "nbf",
        "nonce",
        "azp",
        "at_hash",
        "auth_time",
    ];
    let Some(name) = reader.optional(suffix)? else {
        return Ok(None);
    };
    if name.contains(char::is_whitespace) || TAKEN.contains(&name.as_str()) {
        return Err(reader.error(suffix, "must be the name of one claim about the person"));
    }
    Ok(Some(name))
}
