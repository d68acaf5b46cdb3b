use latchkey_domain::WorkspaceId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::resolve::named;
use super::{Row, Workspace};
use crate::login::domain_policy::Invitation;
use crate::login::flow::Context;
use crate::random::sha256;
use crate::store::facts;

/// What a sign-in page may tell of where its link leads.
#[derive(Debug, Default)]
pub struct Described {
    /// The workspace, where the link or the deployment says which one.
    pub workspace: Option<Workspace>,
    /// The invitation that the link carries.
    pub invitation: Invitation,
    /// Address that a personal invitation was made for.
    pub invited: Option<String>,
}

/// Describes where a sign-in with this context leads. Decides nothing: the
/// sign-in's transaction does.
///
/// # Errors
/// The database's refusal.
pub async fn describe(pool: &PgPool, context: &Context) -> Result<Described, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let workspace = match named(&mut connection, context).await? {
        Some(named) => named,
        None => only(&mut connection).await?,
    };
    let mut described = Described {
        invitation: match &workspace {
            Some(workspace) => facts::public_invite(context, workspace),
            None if context.public_invite.is_some() => Invitation::SwitchedOff,
            None => Invitation::Absent,
        },
        ..Described::default()
    };
    if let Some(token) = &context.personal_invite {
        let id = workspace.as_ref().map(|workspace| workspace.id);
        (described.invitation, described.invited) = personal(&mut connection, token, id).await?;
    }
    described.workspace = workspace;
    Ok(described)
}

/// The workspace of a deployment that has one.
async fn only(connection: &mut PgConnection) -> Result<Option<Workspace>, sqlx::Error> {
    let mut rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
         FROM auth.workspace LIMIT 2",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.pop().filter(|_| rows.is_empty()).map(Workspace::from))
}

async fn personal(
    connection: &mut PgConnection,
    token: &str,
    workspace: Option<WorkspaceId>,
) -> Result<(Invitation, Option<String>), sqlx::Error> {
    let found: Option<(Uuid, String, bool, bool, bool)> = sqlx::query_as(
        "SELECT workspace_id, lower(email), used_at IS NOT NULL, revoked_at IS NOT NULL,
                expires_at <= now()
         FROM auth.personal_invite WHERE token_hash = $1",
    )
    .bind(sha256(token))
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        Some((_, _, true, _, _)) => (Invitation::Used, None),
        Some((_, _, _, true, _)) => (Invitation::Revoked, None),
        Some((_, _, _, _, true)) => (Invitation::Expired, None),
        Some((owner, email, ..)) if workspace.is_some_and(|id| id.as_uuid() == owner) => {
            (Invitation::Usable, Some(email))
        }
        _ => (Invitation::ForSomeoneElse, None),
    })
}
