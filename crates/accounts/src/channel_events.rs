//! Stores changes of channels together with their events and their jobs, in the caller's
//! transaction.

use std::mem;

use latchkey_domain::{EventId, JobId};
use latchkey_messaging::outbox::{Event as _, Message, Schema, enqueue, enqueue_all};
use latchkey_messaging::topology::JobQueue;
use latchkey_proto::events::{self, ChannelStatusChanged, SyncJob};
use latchkey_proto::timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::channel::{Channel, Input, InvalidTransition, Kind};
use crate::store::account::Account;
use crate::store::channel::{self, ChannelRow};
use crate::store::job::{self, Job};

/// A channel that changed.
#[derive(Debug, Clone)]
pub struct ChannelChange {
    /// The state before; `None` for a new channel.
    pub before: Option<Channel>,
    /// The channel with its state after the change.
    pub row: ChannelRow,
}

impl ChannelChange {
    fn is_visible(&self) -> bool {
        self.before
            .as_ref()
            .is_none_or(|before| self.row.state.differs_visibly_from(before))
    }

    fn is_a_start(&self) -> bool {
        let before = self.before.as_ref().map_or(0, |before| before.generation);
        self.row.state.generation > before
    }
}

/// Applies an input to a stored channel: the state after it is in `row` and is stored and
/// published ([`store`]). The inner error is returned if the state machine does not accept the
/// input; nothing is changed then.
pub async fn apply(
    connection: &mut PgConnection,
    account: &Account,
    row: &mut ChannelRow,
    input: Input,
    cause: EventId,
    now: OffsetDateTime,
) -> Result<Result<(), InvalidTransition>, sqlx::Error> {
    let state = match row.state.after(input, now) {
        Ok(state) => state,
        Err(refused) => return Ok(Err(refused)),
    };
    let change = ChannelChange {
        before: Some(mem::replace(&mut row.state, state)),
        row: row.clone(),
    };
    let messages = store(connection, account, &[change], cause, now).await?;
    enqueue_all(connection, Schema::Sync, messages)
        .await
        .map(Ok)
}

/// Stores channels that changed, and the job of each new start. Returns the messages that the
/// caller writes into the outbox in the same transaction: an event for each new status or stage,
/// and the jobs. The ids of the events derive from `cause`, the event that changed the channels.
///
/// Takes at most one statement for new channels, one for others and one for jobs.
pub async fn store(
    connection: &mut PgConnection,
    account: &Account,
    changes: &[ChannelChange],
    cause: EventId,
    now: OffsetDateTime,
) -> Result<Vec<Message>, sqlx::Error> {
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for change in changes {
        match &change.before {
            None => new.push(&change.row),
            Some(before) if *before == change.row.state => {}
            Some(_) => changed.push(&change.row),
        }
    }
    channel::insert(connection, &new).await?;
    channel::update(connection, &changed).await?;
    let started: Vec<&ChannelRow> = changes
        .iter()
        .filter(|change| change.is_a_start())
        .map(|change| &change.row)
        .collect();
    let jobs: Vec<Job> = started.iter().copied().map(job_of).collect();
    let stored = job::insert(connection, &jobs).await?;

    let events = changes
        .iter()
        .filter(|change| change.is_visible())
        .map(|change| status_changed(account, &change.row, cause, now));
    let jobs = started
        .into_iter()
        .filter(|row| stored.contains(&job_of(row).id))
        .map(|row| job_message(account, row));
    Ok(events.chain(jobs).collect())
}

fn status_changed(
    account: &Account,
    row: &ChannelRow,
    cause: EventId,
    now: OffsetDateTime,
) -> Message {
    let event = ChannelStatusChanged {
        channel_id: row.id.to_string(),
        account_id: account.id.to_string(),
        workspace_id: account.binding.workspace.to_string(),
        kind: event_kind(row.kind).into(),
        sync_status: row.state.status.as_str().to_owned(),
        sync_stage: row.state.stage.name(row.kind).to_owned(),
        changed_at: Some(timestamp(now)),
    };
    let name = format!("{}/{}", ChannelStatusChanged::ROUTING_KEY, row.id);
    let id = EventId::derived(cause.as_uuid(), &name);
    Message::event(id, row.id, &event)
}

/// The job of the channel's last start.
fn job_of(row: &ChannelRow) -> Job {
    Job {
        id: JobId::first_of(row.id, row.state.generation),
        channel: row.id,
        generation: row.state.generation,
    }
}

/// Queues the job of the channel's last start again, with the same id, if it is due.
/// Returns `true` if it was queued.
pub async fn requeue_job(
    connection: &mut PgConnection,
    account: &Account,
    row: &ChannelRow,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let again = job::requeue(connection, job_of(row), now).await?;
    if again {
        enqueue(connection, Schema::Sync, job_message(account, row)).await?;
    }
    Ok(again)
}

fn job_message(account: &Account, row: &ChannelRow) -> Message {
    let id = job_of(row).id;
    let body = SyncJob {
        job_id: id.to_string(),
        workspace_id: account.binding.workspace.to_string(),
        account_id: account.id.to_string(),
        channel_id: row.id.to_string(),
        kind: event_kind(row.kind).into(),
        provider: account.binding.provider.to_string(),
        handle: account.handle.clone(),
        sync_cursor: row.state.cursor.clone(),
        generation: row.state.generation,
    };
    let queue = match row.kind {
        Kind::Message => JobQueue::Messaging,
        Kind::Calendar => JobQueue::Calendar,
    };
    Message::job(id, queue, &body)
}

fn event_kind(kind: Kind) -> events::ChannelKind {
    match kind {
        Kind::Message => events::ChannelKind::Message,
        Kind::Calendar => events::ChannelKind::Calendar,
    }
}
