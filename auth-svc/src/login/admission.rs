//! Decides whether a person may sign in to a workspace. Reads what the domain policy needs,
//! in the transaction of the sign-in.

use latchkey_domain::{Handle, UserId, WorkspaceId};
use sqlx::PgConnection;

use crate::login::context::Context;
use crate::login::domain_list::DomainList;
use crate::login::domain_policy::{Admission, Claims, DeploymentPolicy, Facts, Invitation, decide};
use crate::login::outcome::SignInError;
use crate::random::sha256;
use crate::store::workspace::{Workspace, domain, invite, member};

/// Decides how the person is admitted.
///
/// # Errors
/// Returns an error if the policy refuses the person, or the database fails.
pub async fn admit(
    connection: &mut PgConnection,
    deployment: DeploymentPolicy<'_>,
    context: &Context,
    workspace: &Workspace,
    user: Option<UserId>,
    claims: Claims<'_>,
) -> Result<Admission, SignInError> {
    let domains =
        DomainList::of_rows(domain::approved_names(&mut *connection, workspace.id).await?);
    let admission = decide(&Facts {
        deployment,
        workspace: &domains,
        claims,
        is_member: member::is_member(connection, workspace.id, user).await?,
        public_invite: public_invite(context, workspace),
        personal_invite: personal_invite(connection, context, workspace.id, claims).await?,
    })?;
    Ok(admission)
}

/// Returns the state of the public invitation link in the request.
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

/// Returns the state of the personal invitation in the request, and locks it until the end
/// of the transaction, so that two people cannot use it at the same time.
async fn personal_invite(
    connection: &mut PgConnection,
    context: &Context,
    workspace: WorkspaceId,
    claims: Claims<'_>,
) -> Result<Invitation, sqlx::Error> {
    let Some(token) = &context.personal_invite else {
        return Ok(Invitation::Absent);
    };
    let Some(found) = invite::lock_personal(connection, token).await? else {
        return Ok(Invitation::ForSomeoneElse);
    };
    // Compares the normalized addresses, because the row may have another form.
    let is_for = |email: &str| email.parse::<Handle>().ok().as_ref() == claims.vouched_email();
    Ok(
        if found.workspace_id != workspace.as_uuid()
            || claims.vouched_email().is_none()
            || !is_for(&found.email)
        {
            Invitation::ForSomeoneElse
        } else if found.used {
            Invitation::Used
        } else if found.revoked {
            Invitation::Revoked
        } else if found.expired {
            Invitation::Expired
        } else {
            Invitation::Usable
        },
    )
}
