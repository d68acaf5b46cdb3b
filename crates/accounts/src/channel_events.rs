//! Stores the change of a channel together with its event and its job, in the
//! caller's transaction.

use std::mem;

use latchkey_domain::{EventId, JobId};
use latchkey_messaging::outbox::{Event as _, Message, Schema, enqueue};
use latchkey_messaging::topology::JobQueue;
use latchkey_proto::events::{self, ChannelStatusChanged, SyncJob};
use latchkey_proto::timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::channel::{Channel, Input, InvalidTransition, Kind};
use crate::store::account::Account;
use crate::store::channel::{self, ChannelRow};
use crate::store::job;

/// Applies an input to a stored channel: the state after it is in `row` and is stored and
/// published ([`store_and_publish`]). The inner error is returned if the state machine does
/// not accept the input; nothing is changed then.
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
    let before = mem::replace(&mut row.state, state);
    store_and_publish(connection, account, Some(&before), row, cause, now)
        .await
        .map(Ok)
}

/// Stores a channel that changed from `before` (`None` for a new one), publishes a new
/// status or stage, and queues the job of a new start. The ids of the events derive
/// from `cause`, the event that changed the channel.
pub async fn store_and_publish(
    connection: &mut PgConnection,
    account: &Account,
    before: Option<&Channel>,
    row: &ChannelRow,
    cause: EventId,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    match before {
        None => channel::insert(connection, row).await?,
        Some(before) if *before == row.state => return Ok(()),
        Some(_) => channel::update(connection, row).await?,
    }
    if before.is_none_or(|before| row.state.differs_visibly_from(before)) {
        publish_status(connection, account, row, cause, now).await?;
    }
    if row.state.generation > before.map_or(0, |before| before.generation) {
        create_job(connection, account, row).await?;
    }
    Ok(())
}

async fn publish_status(
    connection: &mut PgConnection,
    account: &Account,
    row: &ChannelRow,
    cause: EventId,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
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
    let message = Message::event(id, row.id, &event);
    enqueue(connection, Schema::Sync, message).await
}

async fn create_job(
    connection: &mut PgConnection,
    account: &Account,
    row: &ChannelRow,
) -> Result<(), sqlx::Error> {
    let id = JobId::first_of(row.id, row.state.generation);
    if job::insert(connection, id, row.id, row.state.generation).await? {
        enqueue_job(connection, account, row).await?;
    }
    Ok(())
}

/// Queues the job of the channel's last start again, with the same id, if it is due.
/// Returns `true` if it was queued.
pub async fn requeue_job(
    connection: &mut PgConnection,
    account: &Account,
    row: &ChannelRow,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let id = JobId::first_of(row.id, row.state.generation);
    let again = job::requeue(connection, id, row.id, row.state.generation, now).await?;
    if again {
        enqueue_job(connection, account, row).await?;
    }
    Ok(again)
}

async fn enqueue_job(
    connection: &mut PgConnection,
    account: &Account,
    row: &ChannelRow,
) -> Result<(), sqlx::Error> {
    let id = JobId::first_of(row.id, row.state.generation);
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
    enqueue(connection, Schema::Sync, Message::job(id, queue, &body)).await
}

fn event_kind(kind: Kind) -> events::ChannelKind {
    match kind {
        Kind::Message => events::ChannelKind::Message,
        Kind::Calendar => events::ChannelKind::Calendar,
    }
}
