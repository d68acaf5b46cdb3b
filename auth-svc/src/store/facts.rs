//! What the domain policy needs to know, read in the sign-in transaction.

use latchkey_domain::{Handle, UserId, WorkspaceId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::config::DomainList;
use crate::login::domain_policy::{Claims, Invitation};
use crate::login::flow::Context;
use crate::random::sha256;
use crate::store::workspace::Workspace;

/// The domains that the workspace lets in.
///
/// # Errors
/// The database's refusal.
pub async fn approved_domains(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<DomainList, sqlx::Error> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT domain FROM auth.approved_access_domain WHERE workspace_id = $1")
            .bind(workspace.as_uuid())
            .fetch_all(connection)
            .await?;
    Ok(DomainList::of_rows(
        rows.into_iter().map(|(domain,)| domain).collect(),
    ))
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

/// The public link that the request carried.
pub fn public_invite(context: &Context, workspace: &Workspace) -> Invitation {
    match &context.public_invite {
        None => Invitation::Absent,
        Some(token)
            if workspace.public_invite_enabled
                && workspace.public_invite_hash.as_deref() == Some(&sha256(token)) =>
        {
            Invitation::Usable
        }
        Some(_) => Invitation::SwitchedOff,
    }
}

/// The personal invitation that the request carried, locked until the end of
/// the transaction so that two people cannot use it at once.
///
/// # Errors
/// The database's refusal.
pub async fn personal_invite(
    connection: &mut PgConnection,
    context: &Context,
    workspace: WorkspaceId,
    claims: Claims<'_>,
) -> Result<Invitation, sqlx::Error> {
    let Some(token) = &context.personal_invite else {
        return Ok(Invitation::Absent);
    };
    let found: Option<(Uuid, String, bool, bool, bool)> = sqlx::query_as(
        "SELECT workspace_id, email, used_at IS NOT NULL, revoked_at IS NOT NULL,
                expires_at <= now()
         FROM auth.personal_invite WHERE token_hash = $1 FOR UPDATE",
    )
    .bind(sha256(token))
    .fetch_optional(connection)
    .await?;
    // In its one form, in whatever form the row has it.
    let is_for = |email: &str| email.parse::<Handle>().ok().as_ref() == claims.vouched_email();
    Ok(match found {
        Some((owner, email, ..))
            if owner != workspace.as_uuid()
                || claims.vouched_email().is_none()
                || !is_for(&email) =>
        {
            Invitation::ForSomeoneElse
        }
        None => Invitation::ForSomeoneElse,
        Some((_, _, true, ..)) => Invitation::Used,
        Some((.., true, _)) => Invitation::Revoked,
        Some((.., true)) => Invitation::Expired,
        Some(_) => Invitation::Usable,
    })
}

/// Spends the personal invitation.
///
/// # Errors
/// The database's refusal.
pub async fn spend_personal_invite(
    connection: &mut PgConnection,
    context: &Context,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE auth.personal_invite SET used_at = now() WHERE token_hash = $1")
        .bind(context.personal_invite.as_deref().map(sha256))
        .execute(connection)
        .await?;
    Ok(())
}
