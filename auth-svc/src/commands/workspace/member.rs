use std::fmt::Write as _;

use latchkey_service::StartError;
use serde_json::{Value, json};

use super::{Answer, Desk};
use crate::proof::rfc3339;
use crate::store::workspace::{Workspace, member};

pub(super) async fn list(desk: &Desk<'_>, workspace: &Workspace) -> Result<Answer, StartError> {
    let members = member::members(&desk.pool, workspace.id)
        .await
        .map_err(StartError::other)?;
    let mut text = String::new();
    let mut json = Vec::new();
    for member in &members {
        let _ = writeln!(
            text,
            "{}  {}  {}  by {}",
            member.user_id, member.email, member.role, member.joined_by
        );
        json.push(json!({
            "userId": member.user_id,
            "email": member.email,
            "role": member.role,
            "joinedBy": member.joined_by,
            "joinedAt": rfc3339(member.joined_at),
        }));
    }
    if text.is_empty() {
        "nobody yet".clone_into(&mut text);
    }
    Ok(Answer::new(text, Value::Array(json)))
}

pub(super) async fn set_role(
    desk: &Desk<'_>,
    workspace: &Workspace,
    who: &str,
    admin: bool,
) -> Result<Answer, StartError> {
    let named = member::set_role(&desk.pool, workspace.id, who, admin)
        .await
        .map_err(StartError::other)?;
    match named {
        1 => Ok(Answer::new(
            format!(
                "{who} {} {}",
                if admin {
                    "administers"
                } else {
                    "is a member of"
                },
                workspace.name
            ),
            json!({ "member": who, "role": if admin { "ADMIN" } else { "MEMBER" } }),
        )),
        0 => Err(StartError::Other(format!(
            "{who} is no member: auth-svc workspace members shows them"
        ))),
        _ => Err(StartError::Other(format!(
            "several members show the address {who}: name one by user id (auth-svc workspace members)"
        ))),
    }
}
