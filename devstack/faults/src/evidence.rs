//! What the checker judges. Nothing of it comes from a counter of the services.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::history::{Call, FaultSpan, Moment};
use crate::planted::Fate;

/// Everything that is known after the settle phase.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The calls of the history.
    pub calls: Vec<Call>,
    /// The faults of the history.
    pub faults: Vec<FaultSpan>,
    /// The rows of the database.
    pub database: Database,
    /// Every message that the shadow queue received: how often, by the id of its event.
    pub seen: BTreeMap<Uuid, u64>,
    /// Events in the parking queue of sync-svc.
    pub parked: BTreeSet<Uuid>,
    /// What has to become of each message that the suite sent.
    pub planted: BTreeMap<Uuid, Fate>,
    /// The log of the strict provider.
    pub presented: Vec<Presented>,
    /// The access tokens that callers got.
    pub given: Vec<Given>,
    /// What was still waiting when the settle phase ended; empty if nothing was.
    pub unsettled: String,
}

/// Rows of the database.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// Connected accounts.
    pub accounts: Vec<Account>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// Jobs.
    pub jobs: Vec<Job>,
    /// Events that were committed to an outbox. A trigger of the suite recorded them in the
    /// transactions of their facts.
    pub committed: BTreeMap<Uuid, String>,
    /// Events that sync-svc has applied.
    pub applied: BTreeSet<Uuid>,
}

/// A connected account and its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Name of the provider.
    pub provider: String,
    /// Mail address.
    pub handle: String,
    /// Time of the newest authentication that was applied.
    pub last_authenticated: Moment,
    /// Whether it is disconnected.
    pub disconnected: bool,
    /// Whether a refresh token or an access token is stored.
    pub has_tokens: bool,
    /// Time of the authentication that the stored access token is from.
    pub credential_authenticated: Option<Moment>,
    /// Whether the grant has stopped working.
    pub failed: bool,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: Uuid,
    /// Its account.
    pub account: Uuid,
    /// `MESSAGE` or `CALENDAR`.
    pub kind: String,
    /// Who sees it.
    pub visibility: String,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// Its channel.
    pub channel: Uuid,
    /// Number of the channel's start, from 1.
    pub generation: i32,
}

/// A refresh token that was presented to the strict provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The token.
    pub token: String,
    /// The person whom it was issued for.
    pub person: String,
    /// When it was presented.
    pub at: Moment,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// An access token that a caller got, with its life by the log of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The person whom it was issued for.
    pub person: String,
    /// When it was asked for.
    pub asked: Moment,
    /// When it was answered.
    pub answered: Moment,
    /// When it was issued.
    pub issued: Moment,
    /// When it expires.
    pub expires: Moment,
}
