//! Members of a workspace and their roles.

use latchkey_domain::{GrantBinding, UserId, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

/// A member in a list.
#[derive(Debug, Clone, FromRow)]
pub struct Member {
    /// The person.
    pub user_id: Uuid,
    /// E-mail address: a label, not an identifier.
    pub email: String,
    /// ADMIN or MEMBER.
    pub role: String,
    /// How they joined.
    pub joined_by: String,
    /// When they joined.
    pub joined_at: OffsetDateTime,
}

/// Returns the members in the order in which they joined.
///
/// # Errors
/// Returns the database's error.
pub async fn members(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
) -> Result<Vec<Member>, sqlx::Error> {
    sqlx::query_as(
        "SELECT m.user_id, u.email, m.role, m.joined_by, m.joined_at
         FROM auth.workspace_member m JOIN auth.app_user u ON u.id = m.user_id
         WHERE m.workspace_id = $1 ORDER BY m.joined_at, m.user_id",
    )
    .bind(workspace.as_uuid())
    .fetch_all(executor)
    .await
}

/// A member, found by an address or a user id.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Named {
    /// The person.
    pub user_id: Uuid,
    /// E-mail address: a label, not an identifier.
    pub email: String,
}

/// Returns at most two members with this address or user id. Several members may have the
/// same address.
///
/// # Errors
/// Returns the database's error.
pub async fn named(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    who: &str,
) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as(
        "SELECT m.user_id, u.email FROM auth.workspace_member m
         JOIN auth.app_user u ON u.id = m.user_id
         WHERE m.workspace_id = $1 AND (u.id::text = lower($2) OR lower(u.email) = lower($2))
         LIMIT 2",
    )
    .bind(workspace.as_uuid())
    .bind(who)
    .fetch_all(executor)
    .await
}

/// Sets the role of a member, ADMIN or MEMBER. Returns `false` if the user is not a member.
///
/// # Errors
/// Returns the database's error.
pub async fn set_role(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    user: Uuid,
    role: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query(
        "UPDATE auth.workspace_member SET role = $3 WHERE workspace_id = $1 AND user_id = $2",
    )
    .bind(workspace.as_uuid())
    .bind(user)
    .bind(role)
    .execute(executor)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Returns `true` if a plain sign-in connects the account of this member by the
/// deployment's setting (R13). It does not if the member joined by a plain sign-in and has
/// not agreed to the connection since then.
///
/// # Errors
/// Returns the database's error.
pub async fn connects_at_sign_in(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let member: Option<(bool,)> = sqlx::query_as(
        "SELECT connects_at_sign_in FROM auth.workspace_member
         WHERE workspace_id = $1 AND user_id = $2",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(member.is_some_and(|(connects,)| connects))
}

/// Records that the member agreed to the connection at sign-in, if the account is their
/// sign-in identity. Agreeing to connect another mailbox does not count.
///
/// # Errors
/// Returns the database's error.
pub async fn connect_at_sign_in(
    executor: impl PgExecutor<'_>,
    account: &GrantBinding,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE auth.workspace_member SET connects_at_sign_in = true
         WHERE workspace_id = $1 AND user_id = $2 AND NOT connects_at_sign_in
           AND EXISTS (SELECT FROM auth.identity
                       WHERE user_id = $2 AND provider = $3 AND issuer = $4 AND subject = $5)",
    )
    .bind(account.workspace.as_uuid())
    .bind(account.user.as_uuid())
    .bind(account.provider.as_str())
    .bind(account.issuer.as_str())
    .bind(account.subject.as_str())
    .execute(executor)
    .await?;
    Ok(())
}

/// Adds a member if they are not a member yet. The first member becomes an administrator.
/// `agreed` says whether they joined by a page that named what is connected.
///
/// # Errors
/// Returns the database's error.
pub async fn join(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
    joined_by: &str,
    agreed: bool,
) -> Result<(), sqlx::Error> {
    // If two people join first at the same time, they wait for each other, so that one of
    // them is first.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended('first member ' || $1::text, 0))
         WHERE NOT EXISTS (SELECT FROM auth.workspace_member WHERE workspace_id = $1)",
    )
    .bind(workspace.as_uuid())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO auth.workspace_member
             (workspace_id, user_id, joined_by, connects_at_sign_in, role)
         SELECT $1, $2, $3, $4,
                CASE WHEN EXISTS (SELECT FROM auth.workspace_member WHERE workspace_id = $1)
                     THEN 'MEMBER' ELSE 'ADMIN' END
         ON CONFLICT DO NOTHING",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .bind(joined_by)
    .bind(agreed)
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns `true` if the user is a member, and locks the membership until the transaction
/// ends, so that a removal waits for it.
///
/// # Errors
/// Returns the database's error.
pub async fn is_member(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Option<UserId>,
) -> Result<bool, sqlx::Error> {
    let Some(user) = user else {
        return Ok(false);
    };
    let member: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM auth.workspace_member
         WHERE workspace_id = $1 AND user_id = $2 FOR KEY SHARE",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(member.is_some())
}

/// Returns the administrators and locks them in one order. If two administrators remove
/// each other, the second one sees that it is the last.
///
/// # Errors
/// Returns the database's error.
pub async fn lock_administrators(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT user_id FROM auth.workspace_member
         WHERE workspace_id = $1 AND role = 'ADMIN' ORDER BY user_id FOR NO KEY UPDATE",
    )
    .bind(workspace.as_uuid())
    .fetch_all(connection)
    .await
}

/// Deletes the membership. Returns `false` if the user is not a member.
///
/// # Errors
/// Returns the database's error.
pub async fn remove(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Uuid,
) -> Result<bool, sqlx::Error> {
    let gone =
        sqlx::query("DELETE FROM auth.workspace_member WHERE workspace_id = $1 AND user_id = $2")
            .bind(workspace.as_uuid())
            .bind(user)
            .execute(connection)
            .await?;
    Ok(gone.rows_affected() == 1)
}

/// A verified address of a person.
#[derive(Debug, FromRow)]
pub struct VouchedAddress {
    /// The address in lower case.
    pub email: String,
    /// Domain of the address.
    pub domain: String,
    /// Whether a personal invitation to this address is pending in the workspace.
    pub invited: bool,
}

/// Returns the verified addresses of a person.
///
/// # Errors
/// Returns the database's error.
pub async fn vouched_addresses(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Uuid,
) -> Result<Vec<VouchedAddress>, sqlx::Error> {
    sqlx::query_as(
        "SELECT DISTINCT lower(i.email) AS email, split_part(lower(i.email), '@', 2) AS domain,
                EXISTS (SELECT FROM auth.personal_invite p
                        WHERE p.workspace_id = $1 AND lower(p.email) = lower(i.email)
                          AND p.used_at IS NULL AND p.revoked_at IS NULL
                          AND p.expires_at > now()) AS invited
         FROM auth.identity i WHERE i.user_id = $2 AND i.email_verified ORDER BY 1",
    )
    .bind(workspace.as_uuid())
    .bind(user)
    .fetch_all(connection)
    .await
}
