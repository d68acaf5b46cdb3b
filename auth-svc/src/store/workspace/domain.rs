//! Domains that a workspace lets in, and what it has not proven yet.

use std::time::Duration;

use latchkey_domain::WorkspaceId;
use sqlx::{FromRow, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::{Randomness, sha256};
use crate::store::issue::IssueError;

/// A claim that nobody proves is forgotten after this.
pub const CLAIM_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// A verification link holds this long.
pub const LINK_LIFETIME: Duration = Duration::from_hours(24);

/// What a domain is claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its people may join.
    Access,
    /// The workspace is served there.
    Host,
}

impl Purpose {
    /// Value of `auth.domain_claim.purpose`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "ACCESS",
            Self::Host => "HOST",
        }
    }
}

/// On whose word a domain is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovedBy {
    /// The operator's, who needs no proof.
    Operator,
    /// A record in the domain's zone.
    Dns,
    /// A token that was sent to a mailbox of the domain.
    Email,
}

impl ApprovedBy {
    /// Value of `auth.approved_access_domain.approved_by`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "OPERATOR",
            Self::Dns => "DNS",
            Self::Email => "EMAIL",
        }
    }
}

/// A domain that is let in.
#[derive(Debug, Clone, FromRow)]
pub struct Approved {
    /// The domain.
    pub domain: String,
    /// On whose word.
    pub approved_by: String,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// A domain that waits for its proof.
#[derive(Debug, Clone, FromRow)]
pub struct Claim {
    /// The domain.
    pub domain: String,
    /// Value that the TXT record has to have.
    pub record_value: String,
    /// Mailbox that a verification link was made for.
    pub email: Option<String>,
    /// When the claim is forgotten.
    pub expires_at: OffsetDateTime,
}

/// What a verification link is about.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Proven {
    /// The domain.
    pub domain: String,
    /// The workspace.
    pub workspace_id: Uuid,
    /// Its name.
    pub workspace: String,
}

/// Domains that are let in, by name.
///
/// # Errors
/// The database's refusal.
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

/// Living claims, by domain.
///
/// # Errors
/// The database's refusal.
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

/// Lets a domain in on the operator's word, or no longer; what was claimed of
/// it is settled either way.
///
/// # Errors
/// The database's refusal.
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

/// Remembers what the workspace says of a domain. Nobody comes in by it. Said
/// again, it holds anew and keeps its record value, which may be published.
///
/// # Errors
/// The database's refusal, no randomness.
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

/// A new token for the claim, which only this answer shows; an older one is
/// dead. `None` where there is no living claim.
///
/// # Errors
/// The database's refusal, no randomness.
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

/// What a token would prove; nothing is spent.
///
/// # Errors
/// The database's refusal.
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

/// Spends a token: the domain that it was made for is let into the workspace
/// that it was made for. `None` where it is unknown, expired or spent.
///
/// # Errors
/// The database's refusal.
pub async fn prove_by_token(
    executor: impl PgExecutor<'_>,
    token: &str,
) -> Result<Option<Proven>, sqlx::Error> {
    // One statement: of two at once, one deletes the row.
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

/// Lets in a domain whose record was seen with this value; false where the
/// claim is gone meanwhile.
///
/// # Errors
/// The database's refusal.
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

/// Names of the domains that are let in, as the database has them.
///
/// # Errors
/// The database's refusal.
pub async fn approved_names(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT domain FROM auth.approved_access_domain WHERE workspace_id = $1")
        .bind(workspace.as_uuid())
        .fetch_all(executor)
        .await
}
