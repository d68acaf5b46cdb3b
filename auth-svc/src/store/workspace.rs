//! Which workspace a sign-in is for, and what an operator does to workspaces.

pub mod custom_host;
mod describe;
pub mod domain;
pub mod invite;
mod manage;
pub mod member;
pub mod removal;
mod resolve;

use latchkey_domain::WorkspaceId;
use sqlx::FromRow;
use uuid::Uuid;

pub use describe::{Described, describe};
pub use domain::approve_domain;
pub use invite::{invite, set_public_invite};
pub use manage::{CreateError, Listed, by_reference, create, list};
pub use resolve::resolve;

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
