//! Lists the sessions of a person and ends them (R14).

use latchkey_domain::{SessionId, UserId, WorkspaceId};
use sqlx::{FromRow, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

/// Which sessions of a person an operation reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The sessions in every workspace.
    Everywhere,
    /// The sessions in one workspace.
    Workspace(WorkspaceId),
}

impl Reach {
    /// Returns `NULL` for all workspaces.
    fn workspace(self) -> Option<Uuid> {
        match self {
            Self::Everywhere => None,
            Self::Workspace(id) => Some(id.as_uuid()),
        }
    }
}

/// A session in the person's list.
#[derive(Debug, Clone, FromRow)]
pub struct Listed {
    /// Id of the session.
    pub id: Uuid,
    /// Name of the workspace.
    pub workspace_name: String,
    /// When the person signed in.
    pub created_at: OffsetDateTime,
    /// When the session was used last, to the minute.
    pub last_seen_at: OffsetDateTime,
    /// When the session ends.
    pub expires_at: OffsetDateTime,
    /// Browser and system, such as "Firefox on Linux".
    pub user_agent: Option<String>,
}

/// Maximum number of sessions in a list; the newest are listed.
const MOST: i64 = 200;

/// Returns the usable sessions of `user`, the last used first.
///
/// # Errors
/// Returns the database's error.
pub async fn of(
    executor: impl PgExecutor<'_>,
    user: UserId,
    reach: Reach,
) -> Result<Vec<Listed>, sqlx::Error> {
    // Index: session_user_id.
    sqlx::query_as(
        "SELECT s.id, w.name AS workspace_name, s.created_at, s.last_seen_at, s.expires_at,
                s.user_agent
         FROM auth.session s
         JOIN auth.workspace w ON w.id = s.workspace_id
         WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
           AND ($3::uuid IS NULL OR s.workspace_id = $3)
           AND (s.last_seen_at > now() - s.idle_for
                OR EXISTS (SELECT FROM auth.refresh_family f
                           JOIN auth.refresh_token t ON t.family_id = f.id
                           WHERE f.session_id = s.id AND f.ended_at IS NULL
                             AND t.spent_at IS NULL AND t.expires_at > now()))
         ORDER BY s.last_seen_at DESC, s.id
         LIMIT $2",
    )
    .bind(user.as_uuid())
    .bind(MOST)
    .bind(reach.workspace())
    .fetch_all(executor)
    .await
}

/// How a person ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By signing out of it.
    SignedOut,
    /// From the list, in another session.
    Elsewhere,
}

/// Ends one session of `user`. Returns `false` if it does not exist or has ended.
///
/// # Errors
/// Returns the database's error.
pub async fn end(
    executor: impl PgExecutor<'_>,
    user: UserId,
    reach: Reach,
    id: SessionId,
    how: End,
) -> Result<bool, sqlx::Error> {
    let reason = match how {
        End::SignedOut => "SIGNED_OUT",
        End::Elsewhere => "ENDED_ELSEWHERE",
    };
    let done = sqlx::query(
        "UPDATE auth.session SET revoked_at = now(), end_reason = $3
         WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL
           AND ($4::uuid IS NULL OR workspace_id = $4)",
    )
    .bind(id.as_uuid())
    .bind(user.as_uuid())
    .bind(reason)
    .bind(reach.workspace())
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all sessions of `user` within reach and returns their number.
///
/// # Errors
/// Returns the database's error.
pub async fn end_all(
    executor: impl PgExecutor<'_>,
    user: UserId,
    reach: Reach,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE auth.session SET revoked_at = now(), end_reason = 'SIGNED_OUT_EVERYWHERE'
         WHERE user_id = $1 AND revoked_at IS NULL
           AND ($2::uuid IS NULL OR workspace_id = $2)",
    )
    .bind(user.as_uuid())
    .bind(reach.workspace())
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}
