use clap::ValueEnum;
use latchkey_config::parse_duration;
use latchkey_domain::Handle;
use latchkey_workspaces::domain_verification::rfc3339;
use latchkey_workspaces::store::audit::Action;
use latchkey_workspaces::store::workspace::Workspace;
use latchkey_workspaces::store::workspace::invite::{
    self, rotate_public_invite, set_public_invite,
};
use serde_json::json;
use uuid::Uuid;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;
use crate::workspace::domain::allowed_by_deployment;

/// What to do with the public invitation link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PublicLink {
    /// Turn it on, with a new link if it is off.
    On,
    /// Turn it off for ever; the next one is another link.
    Off,
    /// Replace it by a new link.
    Rotate,
}

pub(super) async fn invite(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    email: &str,
    expires_in: &str,
) -> Result<Answer, Failure> {
    let email: Handle = email.parse().map_err(Failure::of)?;
    allowed_by_deployment(context, &email)?;
    let lifetime = parse_duration(expires_in).map_err(Failure::of)?;
    let mut change = context.change().await?;
    let made = invite::invite(
        change.connection(),
        workspace.id,
        &email,
        lifetime,
        &context.randomness,
    )
    .await
    .map_err(Failure::of)?;
    change
        .commit(
            workspace.id,
            Action::InvitationMade,
            &format!("{} {email}", made.id),
        )
        .await?;
    let link = context.link("/", "workspacePersonalInviteToken", &made.token)?;
    let until = rfc3339(made.expires_at);
    Ok(Answer::new(
        format!("invitation for {email}; it can be used once, until {until}:\n{link}"),
        json!({ "id": made.id, "email": email.as_str(), "link": link, "expiresAt": until }),
    ))
}

pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
) -> Result<Answer, Failure> {
    let invitations = invite::invitations(&context.pool, workspace.id).await?;
    let entries = invitations.iter().map(|invited| {
        let until = rfc3339(invited.expires_at);
        let line = format!(
            "{}  {}  {}  until {until}",
            invited.id, invited.email, invited.status
        );
        let json = json!({
            "id": invited.id,
            "email": invited.email,
            "status": invited.status,
            "expiresAt": until,
        });
        (line, json)
    });
    Ok(Answer::list(entries, "no invitations"))
}

pub(super) async fn revoke(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    id: Uuid,
) -> Result<Answer, Failure> {
    let mut change = context.change().await?;
    if invite::revoke(change.connection(), workspace.id, id).await? {
        change
            .commit(workspace.id, Action::InvitationRevoked, &id.to_string())
            .await?;
        Ok(Answer::new(
            "withdrawn",
            json!({ "id": id, "status": "REVOKED" }),
        ))
    } else {
        Err(Failure::Refused(
            "this workspace has no such invitation, or it was used already".to_owned(),
        ))
    }
}

pub(super) async fn public(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    switch: PublicLink,
) -> Result<Answer, Failure> {
    let mut change = context.change().await?;
    let connection = change.connection();
    let (made, action) = match switch {
        PublicLink::On => (
            invite::turn_public_invite_on(connection, workspace.id, &context.randomness)
                .await
                .map_err(Failure::of)?,
            Action::PublicLinkOn,
        ),
        PublicLink::Off => (
            set_public_invite(connection, workspace.id, false, &context.randomness)
                .await
                .map_err(Failure::of)?,
            Action::PublicLinkOff,
        ),
        PublicLink::Rotate => (
            rotate_public_invite(connection, workspace.id, &context.randomness)
                .await
                .map_err(Failure::of)?,
            Action::PublicLinkRotated,
        ),
    };
    match (switch, made) {
        (_, Some(token)) => {
            change.commit(workspace.id, action, "public link").await?;
            let link = context.link("/", "workspaceInviteHash", &token)?;
            let json = json!({ "enabled": true, "link": link });
            Ok(Answer::new(link, json))
        }
        (PublicLink::Off, None) => {
            change.commit(workspace.id, action, "public link").await?;
            Ok(Answer::new(
                format!("the public link of {} is off", workspace.name),
                json!({ "enabled": false }),
            ))
        }
        // The token is not stored, so the link cannot be printed again.
        (PublicLink::On, None) => Ok(Answer::new(
            format!(
                "the public link of {} is on already, and nothing was changed: the link that was \
                 printed then works; latchkey workspace public-invite rotate replaces it",
                workspace.name
            ),
            json!({ "enabled": true, "link": null }),
        )),
        (PublicLink::Rotate, None) => Err(Failure::Refused(format!(
            "the public link of {} is off: run latchkey workspace public-invite on",
            workspace.name
        ))),
    }
}
