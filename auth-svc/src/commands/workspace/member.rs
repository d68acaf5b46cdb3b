use std::fmt::Write as _;

use latchkey_service::StartError;
use serde_json::json;

use crate::commands::workspace::context::{CommandContext, Output};
use crate::commands::workspace::domain::deployment_domains;
use crate::login::domain_policy::DeploymentPolicy;
use crate::store::audit::Action;
use crate::store::workspace::{Workspace, member};
use crate::workspace::domain_verification::rfc3339;
use crate::workspace::removal::{self, Removal, RemovalError};

pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
) -> Result<Output, StartError> {
    let members = member::members(&context.pool, workspace.id).await?;
    let entries = members.iter().map(|member| {
        let line = format!(
            "{}  {}  {}  by {}",
            member.user_id, member.email, member.role, member.joined_by
        );
        let json = json!({
            "userId": member.user_id,
            "email": member.email,
            "role": member.role,
            "joinedBy": member.joined_by,
            "joinedAt": rfc3339(member.joined_at),
        });
        (line, json)
    });
    Ok(Output::list(entries, "no members yet"))
}

pub(super) async fn set_role(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    who: &str,
    admin: bool,
) -> Result<Output, StartError> {
    let role = if admin { "ADMIN" } else { "MEMBER" };
    let mut change = context.change().await?;
    let person = removal::find_member(change.connection(), workspace.id, who)
        .await
        .map_err(|error| member_error(who, &error))?;
    if !member::set_role(change.connection(), workspace.id, person.user_id, role).await? {
        return Err(member_error(who, &RemovalError::NotAMember));
    }
    let target = format!("{} {role}", person.user_id);
    change
        .commit(workspace.id, Action::RoleChanged, &target)
        .await?;
    Ok(Output::new(
        format!(
            "{who} {} {}",
            if admin {
                "administers"
            } else {
                "is a member of"
            },
            workspace.name
        ),
        json!({ "member": who, "role": role }),
    ))
}

pub(super) async fn remove(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    who: &str,
    keep_connections: bool,
    force: bool,
) -> Result<Output, StartError> {
    let domains = deployment_domains(context)?;
    let deployment = DeploymentPolicy {
        allowed_domains: &domains,
        multi_workspace: context
            .environment
            .flag("IS_MULTIWORKSPACE_ENABLED", false)?,
    };
    let removal = Removal {
        workspace: workspace.id,
        who,
        keep_connections,
        force,
    };
    let mut change = context.change().await?;
    let removed = removal::remove(change.connection(), removal, deployment)
        .await
        .map_err(|error| member_error(who, &error))?;
    change
        .commit(
            workspace.id,
            Action::MemberRemoved,
            &removed.target(keep_connections),
        )
        .await?;
    let mut text = format!(
        "{} is no longer a member of {}; sessions ended: {}; {}",
        removed.email,
        workspace.name,
        removed.sessions,
        if keep_connections {
            "accounts stay connected"
        } else {
            "accounts are being disconnected"
        },
    );
    for way in &removed.rejoin_options {
        let _ = write!(text, "\n{}", way.text());
    }
    Ok(Output::new(text, removed.json(keep_connections)))
}

fn member_error(who: &str, error: &RemovalError) -> StartError {
    StartError::Other(match error {
        RemovalError::NotAMember => {
            format!("{who} is not a member: auth-svc workspace members lists the members")
        }
        RemovalError::Several => format!(
            "several members show the address {who}: name one by user id (auth-svc workspace members)"
        ),
        RemovalError::LastAdministrator => {
            format!("{error}: name another one with auth-svc workspace role, or use --force")
        }
        RemovalError::Database(error) => error.to_string(),
    })
}
