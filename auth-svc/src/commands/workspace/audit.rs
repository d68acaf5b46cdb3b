use std::time::Duration;

use latchkey_service::StartError;
use serde_json::json;

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
    let records = audit::records(&context.pool, workspace.id, limit).await?;
    let entries = records.iter().map(|record| {
        let who = match (&record.email, record.user_id) {
            (Some(email), _) => email.clone(),
            (None, Some(id)) => id.to_string(),
            (None, None) => record.db_role.clone(),
        };
        let line = format!(
            "{}  {} {who} by {}  {}  {}",
            rfc3339(record.at),
            record.actor,
            record.way,
            record.action,
            record.target,
        );
        let json = json!({
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
        });
        (line, json)
    });
    Ok(Output::list(entries, "no changes are recorded yet"))
}

/// Deletes old records.
pub(super) async fn prune(
    context: &CommandContext<'_>,
    older_than: Duration,
) -> Result<Output, StartError> {
    let pruned = audit::prune(&context.pool, older_than).await?;
    Ok(Output::new(
        format!("{pruned} records deleted"),
        json!({ "pruned": pruned }),
    ))
}
