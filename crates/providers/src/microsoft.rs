//! Microsoft Entra ID.
//!
//! An issuer per tenant, identity is `tid` and `oid`, refresh tokens rotate and
//! the old one still works, an address is proven by `xms_edov` alone.
//!
//! `AUTH_MICROSOFT_ENABLED`, `_CLIENT_ID`, `_CLIENT_SECRET`, `_TENANT_ID` (a
//! tenant's id, `common`, `organizations`, `consumers`; `common` by default),
//! `_ALLOWED_TENANTS`, `_AUTHORITY`, and the rest as for Google;
//! `MESSAGING_PROVIDER_MICROSOFT_ENABLED`, `CALENDAR_PROVIDER_MICROSOFT_ENABLED`.

mod codes;

use std::collections::BTreeSet;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::{Handle, ProviderName};
use url::Url;

pub(crate) use codes::class_of_codes;

use crate::built_in::{BuiltIn, Data};
use crate::claims::Claims;
use crate::definition::{Definition, IssuerRule, Reader};
use crate::{AuthorizeRequest, ProviderKind, RevocationReach, Rotation};

const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Tenant of personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

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
        readers: &["Mail.ReadWrite", "Mail.Read"],
    },
    calendar: Data {
        switch: "CALENDAR_PROVIDER_MICROSOFT_ENABLED",
        scopes: "Calendars.Read",
        readers: &["Calendars.ReadWrite", "Calendars.Read"],
    },
};

pub(crate) fn definition(environment: &Environment) -> Result<Option<Definition>, ConfigError> {
    MICROSOFT.definition(environment, |reader| {
        let (authority, _) = reader.issuer("AUTHORITY", Some(AUTHORITY))?;
        let authority = authority.trim_end_matches('/');
        let tenant = reader
            .optional("TENANT_ID")?
            .map_or_else(|| "common".to_owned(), |tenant| tenant.to_lowercase());
        let issuer = issuer_rule(reader, authority, &tenant)?;
        let discovery = Url::parse(&format!("{authority}/{tenant}/v2.0"))
            .map_err(|_| reader.error("TENANT_ID", "does not fit into a URL"))?;
        Ok((discovery, issuer))
    })
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
        "consumers" => Ok(IssuerRule::Exact(template(PERSONAL))),
        tenant if is_tenant_id(tenant) => Ok(IssuerRule::Exact(template(tenant))),
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
pub(crate) fn authorize_parameters(request: &AuthorizeRequest) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if let Some(prompt) = request.prompts().first() {
        parameters.push(("prompt", (*prompt).to_owned()));
    }
    if let Some(claims) = &request.claims {
        parameters.push(("claims", claims.clone()));
    }
    parameters
}

/// `<tid>/<oid>`: `sub` differs from application to application.
pub(crate) fn subject(claims: &Claims) -> Option<String> {
    let tenant = claims.text("tid").filter(|tid| is_tenant_id(tid))?;
    let object = claims.text("oid").filter(|oid| !oid.contains('/'))?;
    Some(format!("{tenant}/{object}"))
}

/// The address and whether Microsoft vouches for it: only `email` with
/// `xms_edov`, never a principal name (nOAuth).
pub(crate) fn mail(claims: &Claims) -> (Option<Handle>, bool) {
    match claims.handle("email") {
        Some(email) => (Some(email), claims.says_yes("xms_edov")),
        None => (claims.handle("preferred_username"), false),
    }
}

/// A scope without the resource that Microsoft may put in front:
/// `https://graph.microsoft.com/Mail.Read`.
pub(crate) fn short_scope(scope: &str) -> &str {
    let rest = scope.strip_prefix("https://").unwrap_or(scope);
    match rest.split_once('/') {
        Some((host, name)) if host.contains("graph.microsoft.") => name,
        _ => scope,
    }
}

/// Microsoft does not tell scopes apart by case.
pub(crate) fn same_scope(one: &str, other: &str) -> bool {
    short_scope(one).eq_ignore_ascii_case(short_scope(other))
}
