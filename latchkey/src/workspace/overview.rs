use latchkey_workspaces::store::workspace;
use serde_json::json;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;

/// Lists the workspaces, one line each.
pub(super) async fn list(context: &CommandContext<'_>) -> Result<Answer, Failure> {
    let workspaces = workspace::list(&context.pool).await?;
    let entries = workspaces.iter().map(|workspace| {
        let host = workspace.custom_domain.as_ref();
        let line = format!(
            "{}  {}  host: {}  members: {}  public link: {}  domains: {}",
            workspace.id,
            workspace.name,
            host.or(workspace.subdomain.as_ref())
                .map_or("-", String::as_str),
            workspace.members,
            if workspace.public_invite_enabled {
                "on"
            } else {
                "off"
            },
            if workspace.domains.is_empty() {
                "-".to_owned()
            } else {
                workspace.domains.join(",")
            },
        );
        let json = json!({
            "id": workspace.id,
            "name": workspace.name,
            "subdomain": workspace.subdomain,
            "customDomain": workspace.custom_domain,
            "members": workspace.members,
            "publicInviteEnabled": workspace.public_invite_enabled,
            "approvedAccessDomains": workspace.domains,
        });
        (line, json)
    });
    let empty = "no workspace yet: run latchkey workspace create <name>";
    Ok(Answer::list(entries, empty))
}
