//! One thing that happened.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::{AccountId, ProviderName, ScopeSet, WorkspaceId};
use latchkey_service::telemetry::TraceId;
use time::OffsetDateTime;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A token was given.
    Given,
    /// Accounts or channels were shown, or a change was taken.
    Answered,
    /// A grant was revoked.
    Revoked,
    /// The caller may not.
    Refused,
    /// Records before this one could not be kept.
    Lost,
}

impl Outcome {
    /// As it stands in the table.
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

/// One thing that happened. There is no field that a token could be in.
#[derive(Debug, Clone)]
pub struct Record {
    /// When.
    pub at: OffsetDateTime,
    /// Who; empty where the caller has no name.
    pub caller: String,
    /// From where.
    pub peer: Option<SocketAddr>,
    /// What was called.
    pub method: &'static str,
    /// Whose token.
    pub account: Option<AccountId>,
    /// Where the account is.
    pub workspace: Option<WorkspaceId>,
    /// Provider of the account.
    pub provider: Option<ProviderName>,
    /// Scopes of the token that was given.
    pub granted_scopes: Option<Arc<ScopeSet>>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why not.
    pub reason: Option<String>,
    /// The trace that the call belongs to.
    pub trace_id: Option<TraceId>,
}

impl Record {
    /// A record of which nothing further is known.
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

    /// Tells that this many records are missing.
    pub(super) fn lost(at: OffsetDateTime, count: u64) -> Self {
        Self {
            reason: Some(format!("{count} records were lost")),
            ..Self::new(at, "", Outcome::Lost)
        }
    }
}
