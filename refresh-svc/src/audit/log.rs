//! The log line of a record: target `audit`.

use latchkey_domain::ProviderName;

use super::{Outcome, Record};

pub(super) fn write(record: &Record) {
    // `RUST_LOG=info,audit=error` leaves the table alone to tell.
    if !tracing::enabled!(target: "audit", tracing::Level::INFO) {
        return;
    }
    let account = record.account.map(|id| id.to_string());
    let workspace = record.workspace.map(|id| id.to_string());
    let peer = record.peer.map(|address| address.to_string());
    let message = match record.outcome {
        Outcome::Given => "token given",
        Outcome::Revoked => "grant revoked",
        Outcome::Refused => "refused",
        Outcome::Lost => "records lost",
    };
    tracing::info!(
        target: "audit",
        caller = record.caller,
        peer,
        rpc.method = record.method,
        account.id = account,
        workspace.id = workspace,
        provider = record.provider.as_ref().map(ProviderName::as_str),
        granted_scopes = record.granted_scopes,
        outcome = record.outcome.as_str(),
        reason = record.reason,
        trace_id = record.trace_id,
        "{message}"
    );
}
