//! The log event of a record (target `audit`). Refusals and revocations are logged at
//! `INFO`; answers, which are in the table and may be thousands per second, at `DEBUG`.

use latchkey_domain::ProviderName;

use super::record::{Outcome, Record};

macro_rules! line {
    ($level:ident, $record:ident, $message:literal) => {
        tracing::$level!(
            target: "audit",
            caller = $record.caller,
            peer = $record.peer.map(|address| address.to_string()),
            rpc.method = $record.method,
            account.id = $record.account.map(|id| id.to_string()),
            workspace.id = $record.workspace.map(|id| id.to_string()),
            provider = $record.provider.as_ref().map(ProviderName::as_str),
            granted_scopes = $record.granted_scopes.as_ref().map(|scopes| scopes.to_string()),
            outcome = $record.outcome.as_str(),
            reason = $record.reason,
            $message
        )
    };
}

pub(super) fn write(record: &Record) {
    match record.outcome {
        Outcome::Given => line!(debug, record, "token given"),
        Outcome::Answered => line!(debug, record, "answered"),
        Outcome::Revoked => line!(info, record, "grant revoked"),
        Outcome::Refused => line!(info, record, "refused"),
        // Logged when they are counted.
        Outcome::Lost => {}
    }
}
