//! Microsoft Entra ID.
//!
//! Each tenant has an issuer of its own, and `tid` with `oid` identifies a person.
//! Refresh tokens rotate, and the old one remains valid. The claim `xms_edov` shows that
//! an address is verified. If exactly one tenant is configured, that tenant vouches as
//! well, for its people whose principal name is in its own domain.
//!
//! Variables: `AUTH_MICROSOFT_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, those of
//! `client_auth/settings.rs`, `_TENANT_ID` (a
//! tenant's id, `common`, `organizations`, `consumers`; `common` by default),
//! `_ALLOWED_TENANTS`, `_AUTHORITY`, and the others as for Google;
//! `MESSAGING_PROVIDER_MICROSOFT_ENABLED`, `CALENDAR_PROVIDER_MICROSOFT_ENABLED`.

mod codes;

use std::collections::BTreeSet;

use jsonwebtoken::Algorithm;
use latchkey_config::{ConfigError, ConfigErrors, read_all};
use latchkey_domain::{Handle, ProviderName, is_identity_scope};
use latchkey_scopes::{microsoft_resource, microsoft_short};
use serde_json::{Map, Value, json};
use url::Url;

use self::codes::class_of_codes;
use crate::built_in::{BuiltIn, Data};
use crate::claims::Claims;
use crate::definition::Definition;
use crate::email::EmailSettings;
use crate::issuer::{IssuerRule, TENANT_PLACEHOLDER, is_tenant_id};
use crate::quirks::{Plain, Quirks, Registration, row};
use crate::reader::Reader;
use crate::{
    AuthorizationError, AuthorizeRequest, EmailStatus, FailureClass, IdTokenError, RevocationReach,
    Rotation, Unverified,
};

const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Tenant of all personal accounts. It vouches for no address.
pub(crate) const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const GRAPH: &str = "https://graph.microsoft.com";

pub(crate) static MICROSOFT: BuiltIn = BuiltIn {
    name: ProviderName::MICROSOFT,
    quirks: &Microsoft,
    label: "Microsoft",
    logo: include_str!("logos/microsoft.svg"),
    offline: "offline_access",
    rotation: Rotation::Soft,
    // Microsoft has no revocation endpoint.
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
    errors: &[row(
        "invalid_resource",
        "",
        FailureClass::ScopeInvalid,
        "https://learn.microsoft.com/entra/identity-platform/reference-error-codes",
    )],
    authorization_errors: &[("invalid_resource", AuthorizationError::Misconfigured)],
    issuer,
    check,
};

fn issuer(reader: &Reader<'_>) -> Result<(Url, IssuerRule), ConfigErrors> {
    read_all! {
        let (authority, _) = reader.issuer("AUTHORITY", Some(AUTHORITY));
        let tenant = reader.optional("TENANT_ID");
        let allowed = allowed_tenants(reader);
    }
    let authority = authority.trim_end_matches('/');
    let tenant = tenant.map_or_else(|| "common".to_owned(), |tenant| tenant.to_lowercase());
    let issuer = issuer_rule(reader, authority, &tenant, allowed)?;
    let discovery = Url::parse(&format!("{authority}/{tenant}/v2.0"))
        .map_err(|_| reader.error("TENANT_ID", "must be text that a URL can contain"))?;
    Ok((discovery, issuer))
}

fn check(definition: &Definition) -> Result<(), ConfigError> {
    if definition.authentication.has_acr_values() {
        return Err(ConfigError::new(
            "AUTH_MICROSOFT_ACR_VALUES",
            "is set, but Microsoft's ID tokens have no acr, so nobody could sign in: remove it, \
             and require a second factor by Conditional Access",
        ));
    }
    refuse_second_resource(definition)
}

/// A token is valid for one resource: Entra lets a person consent to scopes of two
/// resources, and then gives tokens for one of them.
fn refuse_second_resource(definition: &Definition) -> Result<(), ConfigError> {
    let requested = [
        ("AUTH_MICROSOFT_MESSAGING_SCOPES", &definition.messages),
        ("AUTH_MICROSOFT_CALENDAR_SCOPES", &definition.calendar),
    ];
    let mut first = None;
    for (variable, data) in requested {
        for scope in data.iter().flat_map(|data| data.requested.iter()) {
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

fn allowed_tenants(reader: &Reader<'_>) -> Result<BTreeSet<String>, ConfigError> {
    let mut allowed = BTreeSet::new();
    for tenant in reader.environment.list(&reader.name("ALLOWED_TENANTS"))? {
        let tenant = tenant.to_lowercase();
        if !is_tenant_id(&tenant) {
            let problem = format!("must be a list of tenant ids (UUIDs): {tenant:?} is not one");
            return Err(reader.error("ALLOWED_TENANTS", problem));
        }
        allowed.insert(tenant);
    }
    Ok(allowed)
}

/// The issuer of one tenant, or the issuers of several.
fn issuer_rule(
    reader: &Reader<'_>,
    authority: &str,
    tenant: &str,
    allowed: BTreeSet<String>,
) -> Result<IssuerRule, ConfigError> {
    let template = |tenant: &str| format!("{authority}/{tenant}/v2.0");
    let exact = |tenant: &str| IssuerRule::Exact {
        issuer: template(tenant),
        tenant: Some(tenant.to_owned()),
    };
    match tenant {
        "common" | "organizations" => Ok(IssuerRule::PerTenant {
            template: template(TENANT_PLACEHOLDER),
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

#[derive(Debug)]
pub(crate) struct Microsoft;

impl Quirks for Microsoft {
    fn signing_algorithms(&self) -> Option<&'static [Algorithm]> {
        Some(&[Algorithm::RS256])
    }

    fn documents_select_account(&self) -> bool {
        true
    }

    /// Microsoft accepts only one value of `prompt`.
    fn authorize_parameters(
        &self,
        request: &AuthorizeRequest,
        prompts: &[&str],
        _with_data: bool,
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

    fn refresh_parameters(&self, challenge: Option<&str>) -> Vec<(&'static str, String)> {
        vec![("claims", claims_parameter(challenge))]
    }

    fn stored_scope<'a>(&self, scope: &'a str) -> &'a str {
        microsoft_short(scope)
    }

    /// `<tid>/<oid>`, because `sub` differs from application to application.
    fn subject(&self, claims: &Claims, _configured: Option<&str>) -> Result<String, IdTokenError> {
        let tenant = claims.text("tid").filter(|tid| is_tenant_id(tid));
        let object = claims.text("oid").filter(|oid| !oid.contains('/'));
        match (tenant, object) {
            (Some(tenant), Some(object)) => Ok(format!("{tenant}/{object}")),
            _ => Err(IdTokenError::Subject),
        }
    }

    fn tenant_of_subject<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.split_once('/').map(|(tenant, _)| tenant)
    }

    fn email(
        &self,
        claims: &Claims,
        settings: &EmailSettings<'_>,
    ) -> (Option<Handle>, EmailStatus) {
        email(
            claims,
            settings.only_tenant.filter(|tenant| *tenant != PERSONAL),
        )
    }

    fn tenant(&self, claims: &Claims) -> Option<String> {
        claims.text("tid").map(str::to_owned)
    }

    fn uses_userinfo(&self) -> bool {
        false
    }

    fn refuses_grants_with_500(&self) -> bool {
        false
    }

    /// The AADSTS numbers: a list, or the number at the start of the description.
    fn error_numbers(&self, body: &Map<String, Value>, description: Option<&str>) -> Vec<u64> {
        if let Some(list) = body.get("error_codes").and_then(Value::as_array) {
            return list.iter().take(10).filter_map(Value::as_u64).collect();
        }
        let digits = |text: &str| {
            let rest = text.split_once(self.error_number_prefix())?.1;
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        };
        description.and_then(digits).into_iter().collect()
    }

    fn error_number_prefix(&self) -> &'static str {
        "AADSTS"
    }

    fn class_of_error_numbers(&self, by_error: FailureClass, numbers: &[u64]) -> FailureClass {
        class_of_codes(by_error, numbers)
    }

    fn registration(&self) -> Registration {
        Registration {
            redirect_uris: "Microsoft Entra admin center: App registrations, Authentication, \
                            platform \"Web\", \"Redirect URIs\"",
            note: "  Token configuration: add the optional claims `email` and `xms_edov` to the \
                   ID token;\n  without `xms_edov` addresses do not count as verified and nobody \
                   can join a workspace.",
            ..Plain.registration()
        }
    }
}

/// The parameter `claims` of a refresh: the challenge of an API, and the capability `cp1`.
/// It says that callers can pass a challenge on, so that APIs may send one instead of
/// refusing (<https://learn.microsoft.com/entra/identity-platform/claims-challenge>).
fn claims_parameter(challenge: Option<&str>) -> String {
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

/// The address, and whether it is verified: `email` with `xms_edov`, or what
/// `only_tenant`, the one tenant that is configured, vouches for. With several tenants a
/// principal name proves nothing, because each tenant can choose it (nOAuth).
fn email(claims: &Claims, only_tenant: Option<&str>) -> (Option<Handle>, EmailStatus) {
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

/// `xms_edov`: the domain of the address belongs to the tenant. Microsoft sends a
/// boolean, `1` or `"1"`.
fn owns_domain(claims: &Claims) -> bool {
    claims.flag("xms_edov").unwrap_or_else(|| {
        claims
            .0
            .get("xms_edov")
            .is_some_and(|claim| claim == "1" || claim == 1)
    })
}

/// The principal name of a person who belongs to the tenant. Entra accepts only names in
/// domains that the tenant has verified. A guest has the name of the home tenant, which
/// another administrator chose.
fn principal_of(claims: &Claims, tenant: &str) -> Option<Handle> {
    let name = claims
        .text("preferred_username")
        .or_else(|| claims.text("upn"))?;
    let names = ["preferred_username", "upn", "unique_name"];
    let external = names
        .into_iter()
        .filter_map(|claim| claims.text(claim))
        .any(|name| name.to_ascii_uppercase().contains("#EXT#"));
    // `idp` is absent, or equal to the issuer, for the tenant's own people.
    let home = claims.0.get("idp").is_none_or(|provider| {
        provider.as_str().is_some_and(|provider| {
            claims.text("iss") == Some(provider)
                || provider == format!("https://sts.windows.net/{tenant}/")
        })
    });
    // `acct` is 0 for a member and 1 for a guest.
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
