//! Determines the workspace of a sign-in.

use latchkey_domain::UserId;
use sqlx::PgConnection;

use crate::login::context::Context;
use crate::login::outcome::{SignInError, WorkspaceError};
use crate::store::workspace::{self, Reference, Workspace};

/// Returns the workspace that the request names by id, host or invitation. Otherwise
/// returns the only workspace of the deployment, or else the one that the person belongs
/// to, or else the only one that approved their domain.
///
/// # Errors
/// Returns an error if the workspace does not exist, or the request does not name one and
/// several are possible.
pub async fn resolve(
    connection: &mut PgConnection,
    context: &Context,
    user: Option<UserId>,
    vouched_domain: Option<&str>,
) -> Result<Workspace, SignInError> {
    if let Some(reference) = reference(context) {
        return workspace::find(connection, reference)
            .await?
            .ok_or(WorkspaceError::Unknown.into());
    }
    let mut some = workspace::first_two(&mut *connection).await?;
    match (some.pop(), some.pop()) {
        (None, _) => return Err(WorkspaceError::None.into()),
        (Some(only), None) => return Ok(only),
        (Some(_), Some(_)) => {}
    }
    if let Some(user) = user
        && let Some(own) = workspace::first_of(&mut *connection, user).await?
    {
        return Ok(own);
    }
    let mut open = workspace::first_two_open_to(connection, vouched_domain).await?;
    match (open.pop(), open.pop()) {
        (Some(only), None) => Ok(only),
        _ => Err(WorkspaceError::NotNamed.into()),
    }
}

/// Returns how the request names a workspace.
pub fn reference(context: &Context) -> Option<Reference<'_>> {
    if let Some(id) = context.workspace {
        Some(Reference::Id(id))
    } else if let Some(subdomain) = &context.subdomain {
        Some(Reference::Subdomain(subdomain))
    } else if let Some(token) = &context.personal_invite {
        Some(Reference::PersonalInvite(token))
    } else {
        context
            .public_invite
            .as_deref()
            .map(Reference::PublicInvite)
    }
}
