//! Microsoft Entra ID.
//!
//! An issuer per tenant, identity is `tid` and `oid`, refresh tokens rotate and
//! the old one still works. An address is proven by `xms_edov`; with exactly one
//! tenant configured also by that tenant, for those of its people whose
//! principal name is in its own domain.
//!
//! `AUTH_MICROSOFT_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, `_TENANT_ID` (a
//! tenant's id, `common`, `organizations`, `consumers`; `common` by default),
//! `_ALLOWED_TENANTS`, `_AUTHORITY`, and the rest as for Google;
//! `MESSAGING_PROVIDER_MICROSOFT_ENABLED`, `CALENDAR_PROVIDER_MICROSOFT_ENABLED`.

mod codes;

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{Handle, ProviderName, is_identity_scope};
use latchkey_scopes::microsoft_resource;
use serde_json::{Map, Value, json};
use url::Url;

pub(crate) use codes::class_of_codes;

use crate::built_in::{BuiltIn, Data};
use crate::claims::Claims;
use crate::definition::{Definition, IssuerRule, Reader};
use crate::{AuthorizeRequest, EmailStatus, ProviderKind, RevocationReach, Rotation, Unverified};

const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Tenant of personal accounts.
pub(crate) const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

const MICROSOFT: BuiltIn = BuiltIn {
    name: ProviderName::MICROSOFT,
    kind: ProviderKind::Microsoft,
    label: "Microsoft",
    offline: "offline_access",
    rotation: Rotation::Soft,
    // Without a revocation endpoint.
    revocation: RevocationReach::Authorization,
    messages: Data {
        switch: "MESSAGING_PROVIDER_MICROSOFT_ENABLED",
        scopes: "Mail.ReadWrite Mail.Send User.Read",
        readers: &["Mail.Read"],
    },
    calendar: Data {
        switch: "CALENDAR_PROVIDER_MICROSOFT_ENABLED",
        scopes: "Calendars.Read",
        readers: &["Calendars.Read"],
    },
};

pub(crate) fn definition(environment: &Environment) -> Result<Option<Definition>, ConfigError> {
    let definition = MICROSOFT.definition(environment, |reader| {
        let (authority, _) = reader.issuer("AUTHORITY", Some(AUTHORITY))?;
        let authority = authority.trim_end_matches('/');
        let tenant = reader
            .optional("TENANT_ID")?
            .map_or_else(|| "common".to_owned(), |tenant| tenant.to_lowercase());
        let issuer = issuer_rule(reader, authority, &tenant)?;
        let discovery = Url::parse(&format!("{authority}/{tenant}/v2.0"))
            .map_err(|_| reader.error("TENANT_ID", "does not fit into a URL"))?;
        Ok((discovery, issuer))
    })?;
    if let Some(definition) = &definition {
        refuse_second_resource(definition)?;
    }
    Ok(definition)
}

const GRAPH: &str = "https://graph.microsoft.com";

/// A token is for one resource: Entra lets a person consent to the scopes of two, and
/// then gives tokens for one of them.
fn refuse_second_resource(definition: &Definition) -> Result<(), ConfigError> {
    let wanted = [
        ("AUTH_MICROSOFT_MESSAGING_SCOPES", &definition.messages),
        ("AUTH_MICROSOFT_CALENDAR_SCOPES", &definition.calendar),
    ];
    let mut first = None;
    for (variable, wanted) in wanted {
        for scope in wanted.iter().flat_map(|wanted| wanted.requested.iter()) {
            let resource = microsoft_resource(scope).unwrap_or(GRAPH);
            if is_identity_scope(scope) {
                continue;
            }
            let first = first.get_or_insert(resource.to_owned());
            if !first.eq_ignore_ascii_case(resource) {
                return Err(ConfigError::new(
                    variable,
                    format!(
                        "has {scope}, which is of the resource {resource}, beside scopes of \
                         {first}: a token of Microsoft is for one resource, so name scopes of one"
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Single tenant, several, or `common`.
fn issuer_rule(
    reader: &Reader<'_>,
    authority: &str,
    tenant: &str,
) -> Result<IssuerRule, ConfigError> {
    let mut allowed = BTreeSet::new();
    for tenant in reader.environment.list(&reader.name("ALLOWED_TENANTS"))? {
        let tenant = tenant.to_lowercase();
        if !is_tenant_id(&tenant) {
            let problem = format!("{tenant:?} is no tenant id: set it to a list of UUIDs");
            return Err(reader.error("ALLOWED_TENANTS", problem));
        }
        allowed.insert(tenant);
    }
    let template = |tenant: &str| format!("{authority}/{tenant}/v2.0");
    let exact = |tenant: &str| IssuerRule::Exact {
        issuer: template(tenant),
        tenant: Some(tenant.to_owned()),
    };
    match tenant {
        "common" | "organizations" => Ok(IssuerRule::PerTenant {
            template: template("{tenantid}"),
            allowed,
        }),
        _ if !allowed.is_empty() => Err(reader.error(
            "ALLOWED_TENANTS",
            format!(
                "is set, but {} is a single tenant: set that to common or organizations",
                reader.name("TENANT_ID")
            ),
        )),
        "consumers" => Ok(exact(PERSONAL)),
        tenant if is_tenant_id(tenant) => Ok(exact(tenant)),
        _ => Err(reader.error(
            "TENANT_ID",
            "must be the tenant's id (a UUID), common, organizations or consumers",
        )),
    }
}

/// A UUID in lower case, as `tid` has it.
pub(crate) fn is_tenant_id(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(position, c)| match position {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}

/// Microsoft's own parameters of the authorize URL. `prompt` takes one value.
pub(crate) fn authorize_parameters(
    request: &AuthorizeRequest,
    prompts: &[&str],
) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if let Some(prompt) = prompts.first() {
        parameters.push(("prompt", (*prompt).to_owned()));
    }
    if let Some(claims) = &request.claims {
        parameters.push(("claims", claims.clone()));
    }
    parameters
}

/// The parameter `claims` of a refresh: the challenge of an API, and that callers can hand
/// one on (`cp1`), so that APIs may ask for it instead of refusing
/// (<https://learn.microsoft.com/entra/identity-platform/claims-challenge>).
pub(crate) fn claims_parameter(challenge: Option<&str>) -> String {
    let asked = challenge.and_then(|challenge| serde_json::from_str(challenge).ok());
    let mut claims: Map<String, Value> = asked.unwrap_or_default();
    let token = claims
        .entry("access_token")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(token) = token {
        token.insert("xms_cc".to_owned(), json!({ "values": ["cp1"] }));
    }
    Value::Object(claims).to_string()
}

/// `<tid>/<oid>`: `sub` differs from application to application.
pub(crate) fn subject(claims: &Claims) -> Option<String> {
    let tenant = claims.text("tid").filter(|tid| is_tenant_id(tid))?;
    let object = claims.text("oid").filter(|oid| !oid.contains('/'))?;
    Some(format!("{tenant}/{object}"))
}

/// The address, and whether it is verified: `email` with `xms_edov`, or what
/// the one tenant that is configured, `only_tenant`, vouches for. With several
/// tenants a principal name proves nothing: any of them could have chosen it
/// (nOAuth).
pub(crate) fn mail(claims: &Claims, only_tenant: Option<&str>) -> (Option<Handle>, EmailStatus) {
    let unverified = EmailStatus::Unverified(Unverified::NotSaid);
    let email = claims.handle("email");
    if email.is_some() && owns_domain(claims) {
        return (email, EmailStatus::Verified);
    }
    let principal = only_tenant.and_then(|tenant| principal_of(claims, tenant));
    match (email, principal) {
        // An administrator of the tenant gave the person this address.
        (Some(email), Some(principal)) if email.domain() == principal.domain() => {
            (Some(email), EmailStatus::Verified)
        }
        (_, Some(principal)) => (Some(principal), EmailStatus::Verified),
        (Some(email), None) => (Some(email), unverified),
        (None, None) => (claims.handle("preferred_username"), unverified),
    }
}

/// `xms_edov`: the domain of the address belongs to the tenant. Microsoft sends
/// it as a boolean, as `1` and as `"1"`.
fn owns_domain(claims: &Claims) -> bool {
    claims.flag("xms_edov").unwrap_or_else(|| {
        claims
            .0
            .get("xms_edov")
            .is_some_and(|claim| claim == "1" || claim == 1)
    })
}

/// The principal name of a person who belongs to the tenant: Entra gives out
/// only names in domains that the tenant has proven to be its own. A guest has
/// the name of their home, where another tenant chose it.
fn principal_of(claims: &Claims, tenant: &str) -> Option<Handle> {
    let name = claims
        .text("preferred_username")
        .or_else(|| claims.text("upn"))?;
    let names = ["preferred_username", "upn", "unique_name"];
    let external = names
        .into_iter()
        .filter_map(|claim| claims.text(claim))
        .any(|name| name.to_ascii_uppercase().contains("#EXT#"));
    // Absent, or equal to the issuer, for the tenant's own people.
    let home = claims.0.get("idp").is_none_or(|provider| {
        provider.as_str().is_some_and(|provider| {
            claims.text("iss") == Some(provider)
                || provider == format!("https://sts.windows.net/{tenant}/")
        })
    });
    // 0 for a member, 1 for a guest.
    let member = claims
        .0
        .get("acct")
        .is_none_or(|kind| *kind == 0 || *kind == "0");
    let own = claims.text("tid") == Some(tenant);
    (own && home && member && !external)
        .then(|| name.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_handed_on_beside_what_callers_can_do() {
        let can = json!({ "xms_cc": { "values": ["cp1"] } });
        let read =
            |challenge| -> Value { serde_json::from_str(&claims_parameter(challenge)).unwrap() };
        assert_eq!(read(None), json!({ "access_token": can }));
        let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
        assert_eq!(
            read(Some(challenge)),
            json!({ "access_token": {
                "nbf": { "essential": true, "value": "1" },
                "xms_cc": { "values": ["cp1"] },
            } })
        );
        assert_eq!(read(Some("no json")), json!({ "access_token": can }));
    }
}
