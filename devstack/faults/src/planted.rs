//! The messages that the suite itself puts into the queue of sync-svc, and what has to become of
//! each.

use std::collections::BTreeMap;

use latchkey_proto::events::MemberRemoved;
use uuid::Uuid;

/// What has to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No attempt to handle it can succeed: it is parked.
    Parked,
    /// It is recorded as handled. It changes nothing that people did.
    Applied,
}

/// The messages of the suite.
#[derive(Debug, Default)]
pub struct Planted {
    /// What has to become of each, by its id.
    pub fates: BTreeMap<Uuid, Fate>,
    /// The end of the only membership in a workspace, with the id of its message: the workspace is
    /// gone as soon as sync-svc knows that.
    pub removal: Option<(Uuid, MemberRemoved)>,
}
