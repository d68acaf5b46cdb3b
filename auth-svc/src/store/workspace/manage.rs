use latchkey_domain::WorkspaceId;
use sqlx::{FromRow, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Row, Workspace};

/// Why a workspace was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The subdomain is taken.
    #[error("the subdomain is taken")]
    Taken,
    /// The name is empty, or the subdomain is no host label.
    #[error("the name must not be empty; a subdomain is 1 to 63 of a-z, 0-9 and -")]
    Invalid,
    /// The database's refusal.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refusal) if refusal.is_unique_violation() => Self::Taken,
            Some(refusal) if refusal.is_check_violation() => Self::Invalid,
            _ => Self::Database(error),
        }
    }
}

/// Creates a workspace.
///
/// # Errors
/// Taken, invalid, or the database's refusal.
pub async fn create(
    executor: impl PgExecutor<'_>,
    name: &str,
    subdomain: Option<&str>,
) -> Result<WorkspaceId, CreateError> {
    let id = WorkspaceId::generate();
    sqlx::query("INSERT INTO auth.workspace (id, name, subdomain) VALUES ($1, $2, $3)")
        .bind(id.as_uuid())
        .bind(name)
        .bind(subdomain)
        .execute(executor)
        .await?;
    Ok(id)
}

/// A workspace in a list.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// First label of its host under the app's.
    pub subdomain: Option<String>,
    /// Its own host, proven.
    pub custom_domain: Option<String>,
    /// Whether the public link works.
    pub public_invite_enabled: bool,
    /// Domains that it lets in.
    pub domains: Vec<String>,
    /// How many people belong to it.
    pub members: i64,
}

/// Every workspace, by name.
///
/// # Errors
/// The database's refusal.
pub async fn list(pool: &PgPool) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as(
        "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_enabled,
                ARRAY(SELECT d.domain FROM auth.approved_access_domain d
                      WHERE d.workspace_id = w.id ORDER BY d.domain) AS domains,
                (SELECT count(*) FROM auth.workspace_member m
                 WHERE m.workspace_id = w.id) AS members
         FROM auth.workspace w ORDER BY w.name, w.id",
    )
    .fetch_all(pool)
    .await
}

/// The workspace with this id, host or unique name; the only one where
/// nothing is given.
///
/// # Errors
/// The database's refusal.
pub async fn by_reference(
    pool: &PgPool,
    reference: Option<&str>,
) -> Result<Option<Workspace>, sqlx::Error> {
    let mut rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
         FROM auth.workspace
         WHERE $1::text IS NULL OR id::text = $1 OR subdomain = $1 OR custom_domain = $1 OR name = $1
         LIMIT 2",
    )
    .bind(reference)
    .fetch_all(pool)
    .await?;
    Ok(match (rows.pop(), rows.pop()) {
        (Some(only), None) => Some(only.into()),
        _ => None,
    })
}
