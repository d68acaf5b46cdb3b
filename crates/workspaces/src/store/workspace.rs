//! Workspaces.

pub mod custom_host;
pub mod domain;
pub mod invite;
pub mod member;

use latchkey_domain::{UserId, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::random::sha256;

/// A workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Id of the workspace.
    pub id: WorkspaceId,
    /// Name of the workspace.
    pub name: String,
    /// First label of its host under the app's host.
    pub subdomain: Option<String>,
    /// Custom host, which is verified or approved.
    pub custom_domain: Option<String>,
    /// SHA-256 of the token of the public invitation link.
    pub public_invite_hash: Option<Vec<u8>>,
    /// Whether the public invitation link is enabled.
    pub public_invite_enabled: bool,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    subdomain: Option<String>,
    custom_domain: Option<String>,
    public_invite_hash: Option<Vec<u8>>,
    public_invite_enabled: bool,
}

impl From<Row> for Workspace {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            subdomain: row.subdomain,
            custom_domain: row.custom_domain,
            public_invite_hash: row.public_invite_hash,
            public_invite_enabled: row.public_invite_enabled,
        }
    }
}

/// A reference to a workspace in a request.
#[derive(Clone, Copy)]
pub enum Reference<'a> {
    /// By id.
    Id(WorkspaceId),
    /// By the first label of its host.
    Subdomain(&'a str),
    /// By the token of a personal invitation.
    PersonalInvite(&'a str),
    /// By the token of the public invitation link.
    PublicInvite(&'a str),
}

/// Returns the workspace that the reference names.
///
/// # Errors
/// Returns the database's error.
pub async fn find(
    executor: impl PgExecutor<'_>,
    reference: Reference<'_>,
) -> Result<Option<Workspace>, sqlx::Error> {
    let query = match reference {
        Reference::Id(id) => sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE id = $1",
        )
        .bind(id.as_uuid()),
        Reference::Subdomain(subdomain) => sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE subdomain = $1",
        )
        .bind(subdomain),
        Reference::PersonalInvite(token) => sqlx::query_as(
            "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
             FROM auth.personal_invite i
             JOIN auth.workspace w ON w.id = i.workspace_id
             WHERE i.token_hash = $1",
        )
        .bind(sha256(token)),
        Reference::PublicInvite(token) => sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE public_invite_hash = $1",
        )
        .bind(sha256(token)),
    };
    let row: Option<Row> = query.fetch_optional(executor).await?;
    Ok(row.map(Workspace::from))
}

/// Returns at most two workspaces, which tells whether the deployment has exactly one.
///
/// # Errors
/// Returns the database's error.
pub async fn first_two(executor: impl PgExecutor<'_>) -> Result<Vec<Workspace>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
         FROM auth.workspace LIMIT 2",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Workspace::from).collect())
}

/// Returns the workspace that the user joined first, of those that they belong to.
///
/// # Errors
/// Returns the database's error.
pub async fn first_of(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<Workspace>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
         FROM auth.workspace_member m
         JOIN auth.workspace w ON w.id = m.workspace_id
         WHERE m.user_id = $1
         ORDER BY m.joined_at, w.id LIMIT 1",
    )
    .bind(user.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Workspace::from))
}

/// Returns at most two workspaces that approved the domain (index
/// `approved_access_domain_domain`).
///
/// # Errors
/// Returns the database's error.
pub async fn first_two_open_to(
    connection: &mut PgConnection,
    domain: Option<&str>,
) -> Result<Vec<Workspace>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
         FROM auth.approved_access_domain d
         JOIN auth.workspace w ON w.id = d.workspace_id
         WHERE d.domain = $1 LIMIT 2",
    )
    .bind(domain)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Workspace::from).collect())
}

/// Why a workspace was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Another workspace has the subdomain.
    #[error("the subdomain is taken")]
    Taken,
    /// The name is empty, or the subdomain is not a host label.
    #[error("the name must not be empty; a subdomain is 1 to 63 of a-z, 0-9 and -")]
    Invalid,
    /// The database failed.
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
/// Returns an error if the subdomain is taken, a value is invalid, or the database fails.
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

/// A workspace in the list of all workspaces.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// Id of the workspace.
    pub id: Uuid,
    /// Name of the workspace.
    pub name: String,
    /// First label of its host under the app's host.
    pub subdomain: Option<String>,
    /// Custom host, which is verified or approved.
    pub custom_domain: Option<String>,
    /// Whether the public invitation link is enabled.
    pub public_invite_enabled: bool,
    /// Approved domains.
    pub domains: Vec<String>,
    /// Number of members.
    pub members: i64,
}

/// Returns all workspaces, ordered by name.
///
/// # Errors
/// Returns the database's error.
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

/// Returns the workspace with this id, host or unique name. Without a reference, returns
/// the only workspace of the deployment.
///
/// # Errors
/// Returns the database's error.
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
