use std::fmt::Write as _;

use latchkey_workspaces::domain_policy::DeploymentPolicy;
use latchkey_workspaces::domain_verification::rfc3339;
use latchkey_workspaces::removal::{self, Removal, RemovalError};
use latchkey_workspaces::store::audit::Action;
use latchkey_workspaces::store::workspace::{Workspace, member};
use serde_json::json;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;
use crate::workspace::domain::deployment_domains;

pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
) -> Result<Answer, Failure> {
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
    Ok(Answer::list(entries, "no members yet"))
}

pub(super) async fn set_role(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    who: &str,
    admin: bool,
) -> Result<Answer, Failure> {
    let role = if admin { "ADMIN" } else { "MEMBER" };
    let mut change = context.change().await?;
    let person = removal::find_member(change.connection(), workspace.id, who)
        .await
        .map_err(|error| member_error(who, error))?;
    if !member::set_role(change.connection(), workspace.id, person.user_id, role).await? {
        return Err(member_error(who, RemovalError::NotAMember));
    }
    let target = format!("{} {role}", person.user_id);
    let administrators = member::lock_administrators(change.connection(), workspace.id).await?;
    change
        .commit(workspace.id, Action::RoleChanged, &target)
        .await?;
    let mut text = format!(
        "{who} {} {}",
        if admin {
            "administers"
        } else {
            "is a member of"
        },
        workspace.name
    );
    if administrators.is_empty() {
        let _ = write!(
            text,
            "\nwarning: nobody administers {} any more, so nobody can invite people, approve \
             domains or remove members: latchkey workspace role <member> admin names an \
             administrator",
            workspace.name
        );
    }
    Ok(Answer::new(
        text,
        json!({ "member": who, "role": role, "administrators": administrators.len() }),
    ))
}

pub(super) async fn remove(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    who: &str,
    keep_connections: bool,
    force: bool,
) -> Result<Answer, Failure> {
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
        .map_err(|error| member_error(who, error))?;
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
    Ok(Answer::new(text, removed.json(keep_connections)))
}

fn member_error(who: &str, error: RemovalError) -> Failure {
    Failure::Refused(match error {
        RemovalError::NotAMember => {
            format!("{who} is not a member: latchkey workspace members lists the members")
        }
        RemovalError::Several => format!(
            "several members show the address {who}: name one by user id (latchkey workspace members)"
        ),
        RemovalError::LastAdministrator => {
            format!("{error}: name another one with latchkey workspace role, or use --force")
        }
        RemovalError::Database(error) => return error.into(),
    })
}
