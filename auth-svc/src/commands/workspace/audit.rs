use std::fmt::Write as _;
use std::time::Duration;

use latchkey_service::StartError;
use serde_json::{Value, json};

use crate::commands::workspace::context::{CommandContext, Output};
use crate::store::audit;
use crate::store::workspace::Workspace;
use crate::workspace::domain_verification::rfc3339;

/// Lists the changes of the workspace, one line each.
pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    limit: i64,
) -> Result<Output, StartError> {
    let records = audit::records(&context.pool, workspace.id, limit)
        .await
        .map_err(StartError::other)?;
    let mut text = String::new();
    let mut json = Vec::new();
    for record in &records {
        let who = match (&record.email, record.user_id) {
            (Some(email), _) => email.clone(),
            (None, Some(id)) => id.to_string(),
            (None, None) => record.db_role.clone(),
        };
        let _ = writeln!(
            text,
            "{}  {} {who} by {}  {}  {}",
            rfc3339(record.at),
            record.actor,
            record.way,
            record.action,
            record.target,
        );
        json.push(json!({
            "at": rfc3339(record.at),
            "actor": record.actor,
            "way": record.way,
            "userId": record.user_id,
            "email": record.email,
            "sessionId": record.session_id,
            "databaseRole": record.db_role,
            "action": record.action,
            "target": record.target,
            "traceId": record.trace_id,
        }));
    }
    if text.is_empty() {
        "no changes are recorded yet".clone_into(&mut text);
    }
    Ok(Output::new(text, Value::Array(json)))
}

/// Deletes old records.
pub(super) async fn prune(
    context: &CommandContext<'_>,
    older_than: Duration,
) -> Result<Output, StartError> {
    let pruned = audit::prune(&context.pool, older_than)
        .await
        .map_err(StartError::other)?;
    Ok(Output::new(
        format!("{pruned} records deleted"),
        json!({ "pruned": pruned }),
    ))
}
