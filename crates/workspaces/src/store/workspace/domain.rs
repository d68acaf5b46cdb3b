//! Approved domains of a workspace, and domains that it claimed and has not verified yet.

use std::time::Duration;

use latchkey_domain::WorkspaceId;
use sqlx::{FromRow, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::IssueError;

/// Lifetime of a claim that is not verified.
pub const CLAIM_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Lifetime of a verification link.
pub const LINK_LIFETIME: Duration = Duration::from_hours(24);

/// What a domain is claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// People with an address of the domain may join.
    Access,
    /// The workspace is served on this host.
    Host,
}

impl Purpose {
    /// Returns the value of the column `auth.domain_claim.purpose`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "ACCESS",
            Self::Host => "HOST",
        }
    }
}

/// How a domain was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovedBy {
    /// By the operator, without verification.
    Operator,
    /// By a TXT record of the domain.
    Dns,
    /// By a link that was sent to a mailbox of the domain.
    Email,
}

impl ApprovedBy {
    /// Returns the value of the column `auth.approved_access_domain.approved_by`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "OPERATOR",
            Self::Dns => "DNS",
            Self::Email => "EMAIL",
        }
    }
}

/// An approved domain.
#[derive(Debug, Clone, FromRow)]
pub struct Approved {
    /// The domain.
    pub domain: String,
    /// How it was approved.
    pub approved_by: String,
    /// When it was approved.
    pub created_at: OffsetDateTime,
}

/// A domain that was claimed and is not verified yet.
#[derive(Debug, Clone, FromRow)]
pub struct Claim {
    /// The domain.
    pub domain: String,
    /// Value that the TXT record must have.
    pub record_value: String,
    /// Mailbox that the verification link is for.
    pub email: Option<String>,
    /// When the claim expires.
    pub expires_at: OffsetDateTime,
}

/// What a verification link verifies.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Proven {
    /// The domain.
    pub domain: String,
    /// The workspace.
    pub workspace_id: Uuid,
    /// Name of the workspace.
    pub workspace: String,
}

/// Returns the approved domains, ordered by name.
///
/// # Errors
/// Returns the database's error.
pub async fn approved(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
) -> Result<Vec<Approved>, sqlx::Error> {
    sqlx::query_as(
        "SELECT domain, approved_by, created_at FROM auth.approved_access_domain
         WHERE workspace_id = $1 ORDER BY domain",
    )
    .bind(workspace.as_uuid())
    .fetch_all(executor)
    .await
}

/// Returns the claims that have not expired, ordered by domain.
///
/// # Errors
/// Returns the database's error.
pub async fn claims(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    purpose: Purpose,
) -> Result<Vec<Claim>, sqlx::Error> {
    sqlx::query_as(
        "SELECT domain, record_value, email, expires_at FROM auth.domain_claim
         WHERE workspace_id = $1 AND purpose = $2 AND expires_at > now() ORDER BY domain",
    )
    .bind(workspace.as_uuid())
    .bind(purpose.as_str())
    .fetch_all(executor)
    .await
}

/// Approves a domain without verification, for the operator, or removes it. Either way, the
/// claim of the domain is deleted.
///
/// # Errors
/// Returns the database's error.
pub async fn approve_domain(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    domain: &str,
    approved: bool,
) -> Result<(), sqlx::Error> {
    let query = if approved {
        "WITH settled AS (DELETE FROM auth.domain_claim
                          WHERE workspace_id = $1 AND domain = $2 AND purpose = 'ACCESS')
         INSERT INTO auth.approved_access_domain (workspace_id, domain, approved_by)
         VALUES ($1, $2, 'OPERATOR') ON CONFLICT DO NOTHING"
    } else {
        "WITH settled AS (DELETE FROM auth.domain_claim
                          WHERE workspace_id = $1 AND domain = $2 AND purpose = 'ACCESS')
         DELETE FROM auth.approved_access_domain WHERE workspace_id = $1 AND domain = $2"
    };
    sqlx::query(query)
        .bind(workspace.as_uuid())
        .bind(domain)
        .execute(executor)
        .await?;
    Ok(())
}

/// Stores a claim, which does not let anyone in. A repeated claim has a new expiry and
/// keeps its record value, which may be published already.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    purpose: Purpose,
    domain: &str,
    randomness: &Randomness,
) -> Result<Claim, IssueError> {
    let value = format!("latchkey-verification={}", randomness.token()?);
    Ok(sqlx::query_as(
        "INSERT INTO auth.domain_claim (workspace_id, purpose, domain, record_value, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
         ON CONFLICT (workspace_id, purpose, domain) DO UPDATE SET expires_at = excluded.expires_at
         RETURNING domain, record_value, email, expires_at",
    )
    .bind(workspace.as_uuid())
    .bind(purpose.as_str())
    .bind(domain)
    .bind(value)
    .bind(CLAIM_LIFETIME.as_secs_f64())
    .fetch_one(executor)
    .await?)
}

/// Creates a new token for the claim, which cannot be read again. Older tokens become
/// invalid. Returns `None` if there is no claim, or if it has expired.
///
/// # Errors
/// Returns an error if the database or the random number generator fails.
pub async fn email_token(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    domain: &str,
    email: &str,
    randomness: &Randomness,
) -> Result<Option<(String, OffsetDateTime)>, IssueError> {
    let token = randomness.token()?;
    let until: Option<(OffsetDateTime,)> = sqlx::query_as(
        "UPDATE auth.domain_claim
         SET email_token_hash = $3, email = $4,
             email_token_expires_at = now() + make_interval(secs => $5)
         WHERE workspace_id = $1 AND domain = $2 AND purpose = 'ACCESS' AND expires_at > now()
         RETURNING email_token_expires_at",
    )
    .bind(workspace.as_uuid())
    .bind(domain)
    .bind(sha256(&token))
    .bind(email)
    .bind(LINK_LIFETIME.as_secs_f64())
    .fetch_optional(executor)
    .await?;
    Ok(until.map(|(until,)| (token, until)))
}

/// Returns what a token verifies, without using it.
///
/// # Errors
/// Returns the database's error.
pub async fn about_token(
    executor: impl PgExecutor<'_>,
    token: &str,
) -> Result<Option<Proven>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.domain, w.id AS workspace_id, w.name AS workspace
         FROM auth.domain_claim c JOIN auth.workspace w ON w.id = c.workspace_id
         WHERE c.email_token_hash = $1 AND c.email_token_expires_at > now()
           AND c.expires_at > now()",
    )
    .bind(sha256(token))
    .fetch_optional(executor)
    .await
}

/// Uses a token: approves the domain for the workspace that the token was created for.
/// Returns `None` if the token is unknown, expired or used.
///
/// # Errors
/// Returns the database's error.
pub async fn prove_by_token(
    executor: impl PgExecutor<'_>,
    token: &str,
) -> Result<Option<Proven>, sqlx::Error> {
    // One statement, so that only one of two simultaneous requests deletes the row.
    sqlx::query_as(
        "WITH proven AS (
             DELETE FROM auth.domain_claim
             WHERE email_token_hash = $1 AND email_token_expires_at > now()
               AND expires_at > now() AND purpose = 'ACCESS'
             RETURNING workspace_id, domain
         ), approved AS (
             INSERT INTO auth.approved_access_domain (workspace_id, domain, approved_by)
             SELECT workspace_id, domain, 'EMAIL' FROM proven ON CONFLICT DO NOTHING
         )
         SELECT p.domain, w.id AS workspace_id, w.name AS workspace
         FROM proven p JOIN auth.workspace w ON w.id = p.workspace_id",
    )
    .bind(sha256(token))
    .fetch_optional(executor)
    .await
}

/// Approves a domain after its TXT record was found. Returns `false` if the claim does not
/// exist any more.
///
/// # Errors
/// Returns the database's error.
pub async fn prove_by_record(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    claim: &Claim,
) -> Result<bool, sqlx::Error> {
    let (proven,): (i64,) = sqlx::query_as(
        "WITH proven AS (
             DELETE FROM auth.domain_claim
             WHERE workspace_id = $1 AND domain = $2 AND record_value = $3
               AND purpose = 'ACCESS' AND expires_at > now()
             RETURNING workspace_id, domain
         ), approved AS (
             INSERT INTO auth.approved_access_domain (workspace_id, domain, approved_by)
             SELECT workspace_id, domain, 'DNS' FROM proven ON CONFLICT DO NOTHING
         )
         SELECT count(*) FROM proven",
    )
    .bind(workspace.as_uuid())
    .bind(&claim.domain)
    .bind(&claim.record_value)
    .fetch_one(executor)
    .await?;
    Ok(proven == 1)
}

/// Returns the names of the approved domains as the database has them.
///
/// # Errors
/// Returns the database's error.
pub async fn approved_names(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT domain FROM auth.approved_access_domain WHERE workspace_id = $1")
        .bind(workspace.as_uuid())
        .fetch_all(executor)
        .await
}
