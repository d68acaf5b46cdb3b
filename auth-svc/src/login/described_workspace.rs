//! What a sign-in page says about the workspace and the invitation of its link.

use latchkey_domain::WorkspaceId;
use sqlx::{PgConnection, PgPool};

use crate::login::admission::public_invite;
use crate::login::context::Context;
use crate::login::domain_policy::Invitation;
use crate::login::workspace_choice::reference;
use crate::store::workspace::{self, Workspace, invite};

/// The workspace and the invitation of a link.
#[derive(Debug, Default)]
pub struct Described {
    /// The workspace, if the link names one or the deployment has only one.
    pub workspace: Option<Workspace>,
    /// State of the invitation in the link.
    pub invitation: Invitation,
    /// Address that the personal invitation is for.
    pub invited: Option<String>,
}

/// Describes the workspace and the invitation of a context. The transaction of the sign-in
/// decides, not this function.
///
/// # Errors
/// Returns the database's error.
pub async fn describe(pool: &PgPool, context: &Context) -> Result<Described, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let workspace = match reference(context) {
        Some(reference) => workspace::find(&mut *connection, reference).await?,
        None => only(&mut connection).await?,
    };
    let mut described = Described {
        invitation: match &workspace {
            Some(workspace) => public_invite(context, workspace),
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

/// Returns the workspace of a deployment that has only one.
async fn only(connection: &mut PgConnection) -> Result<Option<Workspace>, sqlx::Error> {
    let mut workspaces = workspace::first_two(connection).await?;
    Ok(workspaces.pop().filter(|_| workspaces.is_empty()))
}

async fn personal(
    connection: &mut PgConnection,
    token: &str,
    workspace: Option<WorkspaceId>,
) -> Result<(Invitation, Option<String>), sqlx::Error> {
    let Some(found) = invite::find_personal(connection, token).await? else {
        return Ok((Invitation::ForSomeoneElse, None));
    };
    Ok(if found.used {
        (Invitation::Used, None)
    } else if found.revoked {
        (Invitation::Revoked, None)
    } else if found.expired {
        (Invitation::Expired, None)
    } else if workspace.is_some_and(|id| id.as_uuid() == found.workspace_id) {
        (Invitation::Usable, Some(found.email))
    } else {
        (Invitation::ForSomeoneElse, None)
    })
}
