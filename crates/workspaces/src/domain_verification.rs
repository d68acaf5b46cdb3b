//! Verification that a workspace controls a domain: by a TXT record, or by a link that is
//! sent to a mailbox of the domain's administrators. This service sends no mail: the
//! operator creates the link and sends it (decision 14).

pub mod dns;

use latchkey_domain::{Handle, WorkspaceId};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use utoipa::ToSchema;

use crate::random::Randomness;
use crate::store::IssueError;
use crate::store::audit::{Action, Actor, Change};
use crate::store::workspace::custom_host::{self, HostError};
use crate::store::workspace::domain::{self, Approved, ApprovedBy, Claim, Purpose};
use dns::{DnsError, TxtRecords};

/// Mailboxes that are reserved for the administrators of a domain (RFC 2142, and CA/Browser
/// Forum Baseline Requirements 3.2.2.4.4). Other mailboxes may belong to anybody.
pub const MAILBOXES: [&str; 5] = [
    "admin",
    "administrator",
    "hostmaster",
    "postmaster",
    "webmaster",
];

/// Returns the name of the TXT record that verifies a domain.
pub fn record_name(domain: &str) -> String {
    format!("_latchkey.{domain}")
}

/// A domain or host that waits for its verification, in JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingDomain {
    /// The domain or host.
    domain: String,
    /// Always `PENDING`.
    #[schema(pattern = "^PENDING$")]
    status: &'static str,
    /// Name of the DNS record to publish.
    record_name: String,
    /// Type of the record: `TXT`.
    #[schema(pattern = "^TXT$")]
    record_type: &'static str,
    /// Value of the record.
    record_value: String,
    /// When the claim expires.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

impl From<&Claim> for PendingDomain {
    fn from(claim: &Claim) -> Self {
        Self {
            domain: claim.domain.clone(),
            status: "PENDING",
            record_name: record_name(&claim.domain),
            record_type: "TXT",
            record_value: claim.record_value.clone(),
            expires_at: rfc3339(claim.expires_at),
        }
    }
}

/// A domain whose people may join, in JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedDomain {
    /// The domain.
    domain: String,
    /// Always `APPROVED`.
    #[schema(pattern = "^APPROVED$")]
    status: &'static str,
    /// How it was approved: `OPERATOR`, `DNS` or `EMAIL`.
    #[schema(pattern = "^(OPERATOR|DNS|EMAIL)$")]
    approved_by: String,
    /// When it was approved. The response to a verification does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
}

impl ApprovedDomain {
    /// Describes a domain that was just verified by its record.
    pub fn by_record(domain: String) -> Self {
        Self {
            domain,
            status: "APPROVED",
            approved_by: ApprovedBy::Dns.as_str().to_owned(),
            since: None,
        }
    }
}

impl From<&Approved> for ApprovedDomain {
    fn from(domain: &Approved) -> Self {
        Self {
            domain: domain.domain.clone(),
            status: "APPROVED",
            approved_by: domain.approved_by.clone(),
            since: Some(rfc3339(domain.created_at)),
        }
    }
}

/// Returns a claim as JSON: the record to publish, and the expiry.
pub fn claim_json(claim: &Claim) -> Value {
    json!(PendingDomain::from(claim))
}

/// Returns an approved domain as JSON.
pub fn approved_json(domain: &Approved) -> Value {
    json!(ApprovedDomain::from(domain))
}

/// Formats a time as RFC 3339.
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// Returns `true` if a link sent to this address verifies the domain.
pub fn is_admin_mailbox(address: &Handle, domain: &str) -> bool {
    address.domain() == domain
        && address
            .as_str()
            .split('@')
            .next()
            .is_some_and(|local| MAILBOXES.contains(&local))
}

/// Returns `true` if a host is a host of this deployment, or a parent or child domain of
/// one. A workspace cannot have such a host.
pub fn overlaps<'a>(host: &str, own: impl IntoIterator<Item = &'a Url>) -> bool {
    own.into_iter()
        .filter_map(Url::host_str)
        .any(|own| own == host || is_below(own, host) || is_below(host, own))
}

fn is_below(name: &str, other: &str) -> bool {
    name.strip_suffix(other)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// Why a domain was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// The workspace has no such claim, or it has expired.
    #[error("the domain is not waiting to be verified: add it first")]
    NoClaim,
    /// The record is missing or has another value.
    #[error("no TXT record {name} has the value {value}")]
    NoRecord {
        /// Name of the record.
        name: String,
        /// Expected value of the record.
        value: String,
    },
    /// The name servers did not respond.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The workspace cannot have the host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Claims a domain for the workspace. The claim has to be verified.
///
/// # Errors
/// Returns an error if the random number generator or the database fails.
pub async fn claim(
    pool: &PgPool,
    by: Actor,
    workspace: WorkspaceId,
    purpose: Purpose,
    name: &str,
    randomness: &Randomness,
) -> Result<Claim, IssueError> {
    let mut change = Change::begin(pool, by).await?;
    let claim = domain::claim(change.connection(), workspace, purpose, name, randomness).await?;
    let action = match purpose {
        Purpose::Access => Action::DomainClaimed,
        Purpose::Host => Action::HostClaimed,
    };
    change.commit(workspace, action, name).await?;
    Ok(claim)
}

/// Looks up the TXT record of the workspace's claim and, if it is there, marks the domain
/// as verified.
///
/// # Errors
/// Returns [`VerificationError`] and leaves the claim unchanged.
pub async fn verify_by_record(
    pool: &PgPool,
    records: &dyn TxtRecords,
    by: Actor,
    workspace: WorkspaceId,
    purpose: Purpose,
    name: &str,
) -> Result<Claim, VerificationError> {
    let claims = domain::claims(pool, workspace, purpose).await?;
    let claim = claims
        .into_iter()
        .find(|claim| claim.domain == name)
        .ok_or(VerificationError::NoClaim)?;
    let record = record_name(name);
    // No database connection is held during the DNS lookup.
    let values = records.of(&record).await?;
    if !values.contains(&claim.record_value) {
        return Err(VerificationError::NoRecord {
            name: record,
            value: claim.record_value,
        });
    }
    let mut change = Change::begin(pool, by).await?;
    let (proven, action) = match purpose {
        Purpose::Access => (
            domain::prove_by_record(change.connection(), workspace, &claim).await?,
            Action::DomainVerified,
        ),
        Purpose::Host => (
            custom_host::prove(change.connection(), workspace, &claim).await?,
            Action::HostVerified,
        ),
    };
    if proven {
        change.commit(workspace, action, &claim.domain).await?;
        Ok(claim)
    } else {
        Err(VerificationError::NoClaim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7
    #[test]
    fn only_mailboxes_of_the_domains_administrators_verify_it() {
        let is_admin_mailbox =
            |address: &str| super::is_admin_mailbox(&address.parse().unwrap(), "company.com");
        assert!(
            is_admin_mailbox("postmaster@company.com") && is_admin_mailbox("Admin@company.com")
        );
        assert!(!is_admin_mailbox("ada@company.com"));
        assert!(!is_admin_mailbox("admin@mail.company.com"));
        assert!(!is_admin_mailbox("admin@company.com.evil.example"));
    }

    // R8
    #[test]
    fn a_workspace_cannot_have_a_host_of_the_deployment() {
        let own = [
            "https://app.example.com/".parse().unwrap(),
            "https://auth.example.com/".parse().unwrap(),
        ];
        for host in ["app.example.com", "acme.app.example.com", "example.com"] {
            assert!(overlaps(host, &own), "{host}");
        }
        for host in ["app.customer.com", "xapp.example.com", "app.example.co"] {
            assert!(!overlaps(host, &own), "{host}");
        }
    }
}
