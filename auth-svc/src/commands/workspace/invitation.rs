use latchkey_config::parse_duration;
use latchkey_domain::Handle;
use latchkey_service::StartError;
use serde_json::json;
use uuid::Uuid;

use crate::commands::workspace::context::{CommandContext, Output};
use crate::commands::workspace::domain::allowed_by_deployment;
use crate::store::audit::Action;
use crate::store::workspace::Workspace;
use crate::store::workspace::invite::{self, rotate_public_invite, set_public_invite};
use crate::workspace::domain_verification::rfc3339;

pub(super) async fn invite(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    email: &str,
    expires_in: &str,
) -> Result<Output, StartError> {
    let email: Handle = email.parse().map_err(StartError::other)?;
    allowed_by_deployment(context, &email)?;
    let lifetime = parse_duration(expires_in).map_err(StartError::other)?;
    let mut change = context.change().await?;
    let made = invite::invite(
        change.connection(),
        workspace.id,
        &email,
        lifetime,
        &context.randomness,
    )
    .await
    .map_err(StartError::other)?;
    change
        .commit(
            workspace.id,
            Action::InvitationMade,
            &format!("{} {email}", made.id),
        )
        .await?;
    let link = context.link("/", "workspacePersonalInviteToken", &made.token)?;
    let until = rfc3339(made.expires_at);
    Ok(Output::new(
        format!("invitation for {email}; it can be used once, until {until}:\n{link}"),
        json!({ "id": made.id, "email": email.as_str(), "link": link, "expiresAt": until }),
    ))
}

pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
) -> Result<Output, StartError> {
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
    Ok(Output::list(entries, "no invitations"))
}

pub(super) async fn revoke(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    id: Uuid,
) -> Result<Output, StartError> {
    let mut change = context.change().await?;
    if invite::revoke(change.connection(), workspace.id, id).await? {
        change
            .commit(workspace.id, Action::InvitationRevoked, &id.to_string())
            .await?;
        Ok(Output::new(
            "withdrawn",
            json!({ "id": id, "status": "REVOKED" }),
        ))
    } else {
        Err(StartError::Other(
            "this workspace has no such invitation, or it was used already".to_owned(),
        ))
    }
}

pub(super) async fn public(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    switch: &str,
) -> Result<Output, StartError> {
    let mut change = context.change().await?;
    let made = match switch {
        "rotate" => Some(
            rotate_public_invite(change.connection(), workspace.id, &context.randomness)
                .await
                .map_err(StartError::other)?
                .ok_or_else(|| {
                    StartError::Other(format!(
                        "the public link of {} is off: run auth-svc workspace public-invite on",
                        workspace.name
                    ))
                })?,
        ),
        switch => set_public_invite(
            change.connection(),
            workspace.id,
            switch == "on",
            &context.randomness,
        )
        .await
        .map_err(StartError::other)?,
    };
    let action = match switch {
        "rotate" => Action::PublicLinkRotated,
        "on" => Action::PublicLinkOn,
        _ => Action::PublicLinkOff,
    };
    change.commit(workspace.id, action, "public link").await?;
    match made {
        None => Ok(Output::new(
            format!("the public link of {} is off", workspace.name),
            json!({ "enabled": false }),
        )),
        Some(token) => {
            let link = context.link("/", "workspaceInviteHash", &token)?;
            Ok(Output::new(
                link.clone(),
                json!({ "enabled": true, "link": link }),
            ))
        }
    }
}
