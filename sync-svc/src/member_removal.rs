//! Applies `member.removed.v1`: auth-svc removed a member from a workspace.

use latchkey_domain::{EventId, InvalidId, UserId, WorkspaceId};
use latchkey_proto::events::MemberRemoved;
use latchkey_proto::time_to_microsecond;
use latchkey_service::database::BoundedConnection;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::store::{inbox, member};

/// Why a removal was not applied.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// An id is not a UUID.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The time is missing or out of range.
    #[error("removed_at is missing or out of range")]
    Time,
    /// The database failed; nothing was written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A removal with valid ids and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    workspace: WorkspaceId,
    user: UserId,
    at: OffsetDateTime,
    keep_connections: bool,
}

impl Removal {
    /// Reads an event.
    ///
    /// # Errors
    /// The event is malformed.
    pub fn read(fact: &MemberRemoved) -> Result<Self, RemovalError> {
        Ok(Self {
            workspace: fact.workspace_id.parse()?,
            user: fact.user_id.parse()?,
            at: fact
                .removed_at
                .and_then(time_to_microsecond)
                .ok_or(RemovalError::Time)?,
            keep_connections: fact.keep_connections,
        })
    }
}

/// In one transaction, stores the removal, so that an earlier sign-in of the person
/// connects nothing in the workspace, and requests refresh-svc to disconnect the
/// person's accounts there. The result depends neither on the number of deliveries nor
/// on their order relative to sign-ins.
///
/// # Errors
/// The database failed.
pub async fn apply(pool: &PgPool, event: EventId, removal: Removal) -> Result<(), RemovalError> {
    let Removal {
        workspace,
        user,
        at,
        keep_connections,
    } = removal;
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let connection = &mut *transaction;
    if !inbox::record_first_delivery(connection, event, "member_removed").await? {
        return Ok(());
    }
    let accounts = if keep_connections {
        Vec::new()
    } else {
        member::insert_removal(connection, workspace, user, at).await?;
        member::request_disconnects(connection, workspace, user, at).await?
    };
    transaction.commit().await?;
    tracing::info!(
        workspace.id = %workspace,
        user.id = %user,
        accounts = accounts.len(),
        keep_connections,
        "member removed"
    );
    Ok(())
}
