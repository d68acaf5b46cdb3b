//! Custom hosts of workspaces, such as `app.customer.com`.

use std::collections::HashMap;

use latchkey_domain::WorkspaceId;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::store::workspace::domain::Claim;

/// Why a workspace cannot use the host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another workspace has the host.
    #[error("another workspace has this host")]
    Taken,
    /// The text is not a host name.
    #[error("the host must be a name such as app.customer.com")]
    Invalid,
    /// The database failed.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for HostError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refusal) if refusal.is_unique_violation() => Self::Taken,
            Some(refusal) if refusal.is_check_violation() => Self::Invalid,
            _ => Self::Database(error),
        }
    }
}

/// Sets the custom host without verification, for the operator, or removes it.
///
/// # Errors
/// Returns an error if another workspace has the host, or the database fails.
pub async fn set(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    host: Option<&str>,
) -> Result<(), HostError> {
    sqlx::query(
        "WITH settled AS (DELETE FROM auth.domain_claim
                          WHERE workspace_id = $1 AND purpose = 'HOST')
         UPDATE auth.workspace SET custom_domain = $2 WHERE id = $1",
    )
    .bind(workspace.as_uuid())
    .bind(host)
    .execute(executor)
    .await?;
    Ok(())
}

/// Sets the custom host after its TXT record was found. Returns `false` if the claim does
/// not exist any more. Until then, the workspace keeps its former host.
///
/// # Errors
/// Returns an error if another workspace has the host, or the database fails.
pub async fn prove(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    claim: &Claim,
) -> Result<bool, HostError> {
    let done = sqlx::query(
        "WITH proven AS (
             DELETE FROM auth.domain_claim
             WHERE workspace_id = $1 AND domain = $2 AND record_value = $3
               AND purpose = 'HOST' AND expires_at > now()
             RETURNING workspace_id, domain
         )
         UPDATE auth.workspace w SET custom_domain = p.domain
         FROM proven p WHERE w.id = p.workspace_id",
    )
    .bind(workspace.as_uuid())
    .bind(&claim.domain)
    .bind(&claim.record_value)
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns all custom hosts and their workspaces.
///
/// # Errors
/// Returns the database's error.
pub async fn all(
    executor: impl PgExecutor<'_>,
) -> Result<HashMap<String, WorkspaceId>, sqlx::Error> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "SELECT custom_domain, id FROM auth.workspace WHERE custom_domain IS NOT NULL",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(h, id)| (h, id.into())).collect())
}
