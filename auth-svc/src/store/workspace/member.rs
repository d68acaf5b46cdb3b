//! Who belongs to a workspace and who may administer it.

use latchkey_domain::{GrantBinding, UserId, WorkspaceId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

/// A person in a list.
#[derive(Debug, Clone, FromRow)]
pub struct Member {
    /// The person.
    pub user_id: Uuid,
    /// Their address: a label.
    pub email: String,
    /// ADMIN or MEMBER.
    pub role: String,
    /// How they came in.
    pub joined_by: String,
    /// Since when.
    pub joined_at: OffsetDateTime,
}

/// The members, in the order in which they joined.
///
/// # Errors
/// The database's refusal.
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

/// A member, named by an address or a user id.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Named {
    /// The person.
    pub user_id: Uuid,
    /// Their address: a label.
    pub email: String,
}

/// The members that an address or a user's id names: several people may show one
/// address.
///
/// # Errors
/// The database's refusal.
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

/// Makes a member an administrator, or no longer; `who` is a user's id or an
/// address. Answers how many people that names: where it is not one, nothing
/// is changed.
///
/// # Errors
/// The database's refusal.
pub async fn set_role(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    who: &str,
    admin: bool,
) -> Result<i64, sqlx::Error> {
    let (named,): (i64,) = sqlx::query_as(
        "WITH named AS (
             SELECT m.user_id FROM auth.workspace_member m
             JOIN auth.app_user u ON u.id = m.user_id
             WHERE m.workspace_id = $1 AND (u.id::text = $2 OR lower(u.email) = lower($2))
         ), changed AS (
             UPDATE auth.workspace_member SET role = $3
             WHERE workspace_id = $1 AND user_id IN (SELECT user_id FROM named)
               AND (SELECT count(*) FROM named) = 1
         )
         SELECT count(*) FROM named",
    )
    .bind(workspace.as_uuid())
    .bind(who)
    .bind(if admin { "ADMIN" } else { "MEMBER" })
    .fetch_one(executor)
    .await?;
    Ok(named)
}

/// Returns `true` if a plain sign-in of this member connects their account by the
/// deployment's switch (R13): not where they joined by one, and have not agreed
/// since.
///
/// # Errors
/// The database's refusal.
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

/// The member agreed that the account is connected that they sign in with;
/// another mailbox of theirs says nothing about it.
///
/// # Errors
/// The database's refusal.
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

/// Adds a person, where they are none yet. The first one administers. `agreed`
/// tells whether they joined on a page that said what is connected.
///
/// # Errors
/// The database's refusal.
pub async fn join(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
    joined_by: &str,
    agreed: bool,
) -> Result<(), sqlx::Error> {
    // Two who come first at once wait for one another, so that one is first.
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

/// Returns `true` if the person belongs to the workspace, and keeps it so until
/// the transaction ends: a removal waits for a sign-in that is being written.
///
/// # Errors
/// The database's refusal.
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

/// The administrators, locked in one order: of two who remove each other, the
/// second sees that it is the last.
///
/// # Errors
/// The database's refusal.
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

/// Deletes the membership; `false` if the person is not a member.
///
/// # Errors
/// The database's refusal.
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

/// An address of a person that a provider vouches for.
#[derive(Debug, FromRow)]
pub struct VouchedAddress {
    /// The address in lower case.
    pub email: String,
    /// Its domain.
    pub domain: String,
    /// A personal invitation into the workspace to this address is pending.
    pub invited: bool,
}

/// The addresses of a person that providers vouch for.
///
/// # Errors
/// The database's refusal.
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
