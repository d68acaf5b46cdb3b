use std::fmt::Write as _;

use latchkey_service::StartError;
use serde_json::{Value, json};

use crate::commands::workspace::context::{CommandContext, Output};
use crate::store::workspace;

/// Lists the workspaces, one line each.
pub(super) async fn list(context: &CommandContext<'_>) -> Result<Output, StartError> {
    let workspaces = workspace::list(&context.pool)
        .await
        .map_err(StartError::other)?;
    let mut text = String::new();
    let mut json = Vec::new();
    for workspace in &workspaces {
        let host = workspace.custom_domain.as_ref();
        let _ = writeln!(
            text,
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
        json.push(json!({
            "id": workspace.id,
            "name": workspace.name,
            "subdomain": workspace.subdomain,
            "customDomain": workspace.custom_domain,
            "members": workspace.members,
            "publicInviteEnabled": workspace.public_invite_enabled,
            "approvedAccessDomains": workspace.domains,
        }));
    }
    if workspaces.is_empty() {
        "no workspace yet: run auth-svc workspace create <name>".clone_into(&mut text);
    }
    Ok(Output::new(text, Value::Array(json)))
}
