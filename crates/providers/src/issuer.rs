//! Which issuers a provider has.

use std::collections::BTreeSet;

/// Stands for the tenant in the issuer of a provider with tenants, in its discovery
/// document and in its key set.
pub(crate) const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Which issuers may sign ID tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IssuerRule {
    /// One issuer, compared byte by byte.
    Exact {
        /// `iss` of every token.
        issuer: String,
        /// Tenant that is part of the issuer (Microsoft).
        tenant: Option<String>,
    },
    /// One issuer for each tenant (Microsoft).
    PerTenant {
        /// Issuer with the placeholder for the claim `tid`, e.g.
        /// `https://login.microsoftonline.com/{tenantid}/v2.0`.
        template: String,
        /// Tenants that may sign in, in lower case; any tenant if this is empty.
        allowed: BTreeSet<String>,
    },
}

impl IssuerRule {
    /// The tenant, if the people of exactly one tenant may sign in.
    pub(crate) fn only_tenant(&self) -> Option<&str> {
        match self {
            Self::Exact { tenant, .. } => tenant.as_deref(),
            Self::PerTenant { allowed, .. } if allowed.len() == 1 => {
                allowed.first().map(String::as_str)
            }
            Self::PerTenant { .. } => None,
        }
    }

    /// The issuer as the discovery document and a log show it, with the placeholder if
    /// each tenant has an issuer.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Exact { issuer, .. } => issuer,
            Self::PerTenant { template, .. } => template,
        }
    }

    /// Returns `true` if `iss` is an issuer of this provider.
    pub(crate) fn accepts(&self, iss: &str) -> bool {
        match self {
            Self::Exact { issuer, .. } => issuer == iss,
            Self::PerTenant { template, allowed } => template
                .split_once(TENANT_PLACEHOLDER)
                .and_then(|(before, after)| iss.strip_prefix(before)?.strip_suffix(after))
                .is_some_and(|tenant| {
                    is_tenant_id(tenant) && (allowed.is_empty() || allowed.contains(tenant))
                }),
        }
    }

    /// The issuer of a token with this tenant. `None` if the issuer depends on the tenant
    /// and the token has none.
    pub(crate) fn of_tenant(&self, tenant: Option<&str>) -> Option<String> {
        match self {
            Self::Exact { issuer, .. } => Some(issuer.clone()),
            Self::PerTenant { template, .. } => Some(template.replace(TENANT_PLACEHOLDER, tenant?)),
        }
    }
}

/// Returns `true` for a UUID in lower case, the form that the claim `tid` has.
pub(crate) fn is_tenant_id(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(position, c)| match position {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}
