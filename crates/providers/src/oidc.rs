//! Any OpenID provider, by definition alone (R3).
//!
//! `AUTH_OIDC_<NAME>_ISSUER`, `_CLIENT_ID`, `_CLIENT_SECRET` (absent for a public
//! client), `_LABEL`, `_SCOPES`, `_MESSAGING_SCOPES`, `_CALENDAR_SCOPES`,
//! `_CALLBACK_URL`, `_APIS_CALLBACK_URL`, `_AUTO_CONNECT`,
//! `_AUTO_CONNECT_DOMAINS`, `_EMAIL_DOMAINS`, `_TRUST_EMAIL`, `_ROTATION`,
//! `_RESPONSE_MODE`, `_ENABLED`.

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{ProviderName, ScopeSet};
use secrecy::SecretString;

use crate::definition::{Definition, IssuerRule, Reader, Wanted, well_known};
use crate::email::EmailRule;
use crate::{AuthorizeRequest, ProviderKind, RevocationReach, Rotation, ScopeRules};

const PREFIX: &str = "AUTH_OIDC_";
const OFFLINE: &str = "offline_access";

/// Every `AUTH_OIDC_<NAME>_…`.
pub(crate) fn definitions(environment: &Environment) -> Result<Vec<Definition>, ConfigError> {
    let mut names = environment.between(PREFIX, "_ISSUER");
    // A client id without an issuer is a definition that lacks one.
    names.extend(environment.between(PREFIX, "_CLIENT_ID"));
    names.sort();
    names.dedup();
    let mut definitions = Vec::new();
    for name in names {
        let prefix = format!("{PREFIX}{name}_");
        let reader = Reader {
            environment,
            prefix: &prefix,
        };
        if reader.flag("ENABLED", true)? {
            definitions.push(definition(&reader, &name)?);
        }
    }
    Ok(definitions)
}

fn definition(reader: &Reader<'_>, upper: &str) -> Result<Definition, ConfigError> {
    let wrong = |problem: &str| Err(reader.error("ISSUER", problem.to_owned()));
    if upper != upper.to_uppercase() {
        return wrong("the NAME in AUTH_OIDC_<NAME>_ISSUER must be upper case");
    }
    let Ok(name) = upper.to_lowercase().parse::<ProviderName>() else {
        return wrong("the NAME in AUTH_OIDC_<NAME>_ISSUER must be 1 to 40 of A-Z, 0-9, _");
    };
    if [ProviderName::GOOGLE, ProviderName::MICROSOFT].contains(&name.as_str()) {
        return wrong("the NAME in AUTH_OIDC_<NAME>_ISSUER must not be GOOGLE or MICROSOFT");
    }
    let (issuer, url) = reader.issuer("ISSUER", None)?;
    let label = reader.optional("LABEL")?;
    let wanted = |suffix| -> Result<Option<Wanted>, ConfigError> {
        let scopes = reader.scopes(suffix, "")?;
        Ok((!scopes.is_empty()).then(|| Wanted::new(scopes, &[], ScopeRules::Exact)))
    };
    Ok(Definition {
        kind: ProviderKind::Oidc,
        label: label.unwrap_or_else(|| name.to_string()),
        discovery: well_known(&url),
        issuer: IssuerRule::Exact {
            issuer,
            tenant: None,
        },
        client_id: reader.client_id(name.as_str())?,
        client_secret: reader.optional("CLIENT_SECRET")?.map(SecretString::from),
        sign_in_callback: reader
            .callback("CALLBACK_URL", &format!("/auth/oidc/{name}/redirect"))?,
        connect_callback: reader.callback(
            "APIS_CALLBACK_URL",
            &format!("/auth/oidc-apis/{name}/get-access-token"),
        )?,
        identity: reader.identity_scopes()?,
        email: EmailRule::read(reader)?,
        offline: ScopeSet::parse(OFFLINE),
        messages: wanted("MESSAGING_SCOPES")?,
        calendar: wanted("CALENDAR_SCOPES")?,
        auto_connect: reader.auto_connect()?,
        rotation: rotation(reader)?,
        answers_by_form: answers_by_form(reader)?,
        revocation: RevocationReach::Authorization,
        name,
    })
}

/// Strict where nothing is said: the careful assumption.
fn rotation(reader: &Reader<'_>) -> Result<Rotation, ConfigError> {
    match reader.optional("ROTATION")?.as_deref() {
        None | Some("strict") => Ok(Rotation::Strict),
        Some("soft") => Ok(Rotation::Soft),
        Some("none") => Ok(Rotation::None),
        Some(_) => Err(reader.error("ROTATION", "must be none, soft or strict")),
    }
}

/// How the provider sends the browser back: by a GET, or by a form's POST (OAuth 2.0
/// Form Post Response Mode), which keeps the code out of addresses at the provider.
fn answers_by_form(reader: &Reader<'_>) -> Result<bool, ConfigError> {
    match reader.optional("RESPONSE_MODE")?.as_deref() {
        None | Some("query") => Ok(false),
        Some("form_post") => Ok(true),
        Some(_) => Err(reader.error("RESPONSE_MODE", "must be query or form_post")),
    }
}

/// Parameters of the authorize URL. OpenID Connect Core section 11: a strict
/// provider gives offline access only together with `prompt=consent`.
pub(crate) fn authorize_parameters(request: &AuthorizeRequest) -> Vec<(&'static str, String)> {
    let prompts = request.prompts();
    let prompt = (!prompts.is_empty()).then(|| ("prompt", prompts.join(" ")));
    prompt.into_iter().collect()
}
