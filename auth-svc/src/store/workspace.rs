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
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// First label of its host under the app's.
    pub subdomain: Option<String>,
    /// Its own host, proven.
    pub custom_domain: Option<String>,
    /// SHA-256 of the public invitation's token.
    pub public_invite_hash: Option<Vec<u8>>,
    /// Whether the public link works.
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

/// What names a workspace.
#[derive(Clone, Copy)]
pub enum Reference<'a> {
    /// Its id.
    Id(WorkspaceId),
    /// First label of its host.
    Subdomain(&'a str),
    /// Token of a personal invitation into it.
    PersonalInvite(&'a str),
    /// Token of its public invitation link.
    PublicInvite(&'a str),
}

/// The workspace with this reference.
///
/// # Errors
/// The database's refusal.
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

/// At most two workspaces of the deployment: enough to see whether it has one.
///
/// # Errors
/// The database's refusal.
pub async fn first_two(executor: impl PgExecutor<'_>) -> Result<Vec<Workspace>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
         FROM auth.workspace LIMIT 2",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Workspace::from).collect())
}

/// The workspace that the person joined first, of those that they belong to.
///
/// # Errors
/// The database's refusal.
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

/// At most two of the workspaces that let the domain in.
///
/// # Errors
/// The database's refusal.
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
