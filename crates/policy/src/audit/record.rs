//! A record of the audit.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use latchkey_service::telemetry::TraceId;
use time::OffsetDateTime;

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A token was returned.
    Given,
    /// Accounts or channels were returned, or a change was made.
    Answered,
    /// A grant was revoked.
    Revoked,
    /// The caller was refused.
    Refused,
    /// Earlier records were lost.
    Lost,
}

impl Outcome {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "GIVEN",
            Self::Answered => "ANSWERED",
            Self::Revoked => "REVOKED",
            Self::Refused => "REFUSED",
            Self::Lost => "LOST",
        }
    }
}

/// A record of one call. No field can hold a token.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it happened.
    pub at: OffsetDateTime,
    /// The name of the caller; empty if it has none.
    pub caller: String,
    /// The address of the caller.
    pub peer: Option<SocketAddr>,
    /// The method.
    pub method: &'static str,
    /// The account, if it is known.
    pub account: Option<AccountId>,
    /// The workspace, if it is known.
    pub workspace: Option<WorkspaceId>,
    /// The provider of the account, if it is known.
    pub provider: Option<ProviderName>,
    /// The scopes of the token that was returned.
    pub granted_scopes: Option<Arc<ScopeSet>>,
    /// The outcome.
    pub outcome: Outcome,
    /// Why the call was refused.
    pub reason: Option<String>,
    /// The trace that the call belongs to.
    pub trace_id: Option<TraceId>,
}

impl Record {
    /// A record without optional fields.
    pub fn new(at: OffsetDateTime, method: &'static str, outcome: Outcome) -> Self {
        Self {
            at,
            caller: String::new(),
            peer: None,
            method,
            account: None,
            workspace: None,
            provider: None,
            granted_scopes: None,
            outcome,
            reason: None,
            trace_id: None,
        }
    }

    /// A record of the number of lost records.
    pub(super) fn lost(at: OffsetDateTime, count: u64) -> Self {
        Self {
            reason: Some(format!("{count} records were lost")),
            ..Self::new(at, "", Outcome::Lost)
        }
    }
}
