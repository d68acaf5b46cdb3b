use latchkey_service::StartError;
use serde_json::json;

use crate::commands::workspace::context::{CommandContext, Output};
use crate::store::workspace;

/// Lists the workspaces, one line each.
pub(super) async fn list(context: &CommandContext<'_>) -> Result<Output, StartError> {
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
    let empty = "no workspace yet: run auth-svc workspace create <name>";
    Ok(Output::list(entries, empty))
}
