//! Channels of both kinds (`sync.message_channel`, `sync.calendar_channel`).

use latchkey_domain::{AccountId, ChannelId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::AccountLocation;
use super::row;
use crate::channel::{Channel, Kind, LastFailure, Stage, SyncStatus};

/// A statement on the table of this kind of channel.
macro_rules! per_kind {
    ($kind:expr, $before:literal, $after:literal) => {
        match $kind {
            Kind::Message => concat!($before, "sync.message_channel", $after),
            Kind::Calendar => concat!($before, "sync.calendar_channel", $after),
        }
    };
}

/// Number of channels that a sweep reads at once.
pub const PAGE_SIZE: i64 = 100;

/// A channel with its account.
#[derive(Debug, Clone)]
pub struct ChannelRow {
    /// Channel.
    pub id: ChannelId,
    /// Connected account.
    pub account_id: AccountId,
    /// The kind of data.
    pub kind: Kind,
    /// The state.
    pub state: Channel,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    account_id: Uuid,
    sync_status: String,
    sync_stage: String,
    sync_stage_started_at: OffsetDateTime,
    sync_cursor: String,
    synced_at: Option<OffsetDateTime>,
    throttle_failure_count: i32,
    throttle_retry_after: Option<OffsetDateTime>,
    generation: i32,
    last_failure: Option<String>,
}

impl Row {
    fn read(self, kind: Kind) -> ChannelRow {
        ChannelRow {
            id: self.id.into(),
            account_id: self.account_id.into(),
            kind,
            state: Channel {
                status: SyncStatus::stored(self.sync_status),
                stage: Stage::stored(kind, self.sync_stage),
                stage_started_at: self.sync_stage_started_at,
                cursor: self.sync_cursor,
                synced_at: self.synced_at,
                throttle_failures: self.throttle_failure_count,
                throttle_until: self.throttle_retry_after,
                generation: self.generation,
                last_failure: self.last_failure.map(LastFailure::stored),
            },
        }
    }
}

/// The channels of these accounts, message channels first.
pub async fn of_accounts(
    connection: &mut PgConnection,
    accounts: &[AccountId],
) -> Result<Vec<ChannelRow>, sqlx::Error> {
    let accounts: Vec<Uuid> = accounts.iter().map(AccountId::as_uuid).collect();
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let rows: Vec<Row> = sqlx::query_as(per_kind!(
            kind,
            "SELECT id, account_id, sync_status::text, sync_stage, sync_stage_started_at,
                    sync_cursor, synced_at, throttle_failure_count, throttle_retry_after,
                    generation, last_failure
             FROM ",
            " WHERE account_id = ANY($1)"
        ))
        .bind(&accounts)
        .fetch_all(&mut *connection)
        .await?;
        found.extend(rows.into_iter().map(|row| row.read(kind)));
    }
    Ok(found)
}

/// The account of a channel of either kind.
pub async fn account_of(
    connection: &mut PgConnection,
    channel: ChannelId,
) -> Result<Option<AccountId>, sqlx::Error> {
    let account: Option<Uuid> = sqlx::query_scalar(
        "SELECT account_id FROM sync.message_channel WHERE id = $1
         UNION ALL
         SELECT account_id FROM sync.calendar_channel WHERE id = $1",
    )
    .bind(channel.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(account.map(AccountId::from))
}

/// The kind of a channel and the location of its account, which a policy checks before
/// a report is read.
pub async fn location_of(
    connection: &mut PgConnection,
    channel: ChannelId,
) -> Result<Option<(Kind, AccountLocation)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.is_message, a.id, a.workspace_id, a.provider
         FROM (SELECT true AS is_message, account_id FROM sync.message_channel WHERE id = $1
               UNION ALL
               SELECT false, account_id FROM sync.calendar_channel WHERE id = $1) c
         JOIN sync.connected_account a ON a.id = c.account_id",
    )
    .bind(channel.as_uuid())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let kind = if row.try_get("is_message")? {
        Kind::Message
    } else {
        Kind::Calendar
    };
    Ok(Some((kind, AccountLocation::from_row(&row)?)))
}

/// Inserts a new channel. Visibility and policies get the defaults of the table.
pub async fn insert(connection: &mut PgConnection, row: &ChannelRow) -> Result<(), sqlx::Error> {
    sqlx::query(per_kind!(
        row.kind,
        "INSERT INTO ",
        " (id, account_id, sync_status, sync_stage, sync_stage_started_at, generation,
           last_failure)
          VALUES ($1, $2, $3::sync.sync_status, $4, $5, $6, $7)"
    ))
    .bind(row.id.as_uuid())
    .bind(row.account_id.as_uuid())
    .bind(row.state.status.as_str())
    .bind(row.state.stage.name(row.kind))
    .bind(row.state.stage_started_at)
    .bind(row.state.generation)
    .bind(row.state.last_failure.as_ref().map(LastFailure::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the state of a channel.
pub async fn update(connection: &mut PgConnection, row: &ChannelRow) -> Result<(), sqlx::Error> {
    sqlx::query(per_kind!(
        row.kind,
        "UPDATE ",
        " SET sync_status = $2::sync.sync_status,
              sync_stage = $3,
              sync_stage_started_at = $4,
              sync_cursor = $5,
              synced_at = $6,
              throttle_failure_count = $7,
              throttle_retry_after = $8,
              generation = $9,
              last_failure = $10
          WHERE id = $1"
    ))
    .bind(row.id.as_uuid())
    .bind(row.state.status.as_str())
    .bind(row.state.stage.name(row.kind))
    .bind(row.state.stage_started_at)
    .bind(&row.state.cursor)
    .bind(row.state.synced_at)
    .bind(row.state.throttle_failures)
    .bind(row.state.throttle_until)
    .bind(row.state.generation)
    .bind(row.state.last_failure.as_ref().map(LastFailure::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the visibility that the person chose at `chosen_at`, unless a newer choice is
/// stored.
pub async fn set_visibility(
    connection: &mut PgConnection,
    account: AccountId,
    kind: Kind,
    visibility: &str,
    chosen_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(per_kind!(
        kind,
        "UPDATE ",
        " SET visibility = $2, visibility_chosen_at = $3
          WHERE account_id = $1
            AND (visibility_chosen_at IS NULL OR visibility_chosen_at < $3)"
    ))
    .bind(account.as_uuid())
    .bind(visibility)
    .bind(chosen_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// The position of a sweep (keyset pagination), so that a channel that cannot be
/// changed does not stop the sweep from reaching the others.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    since: OffsetDateTime,
    id: Uuid,
}

impl Position {
    /// Before every channel.
    pub const START: Self = Self {
        since: OffsetDateTime::UNIX_EPOCH,
        id: Uuid::nil(),
    };

    /// After this channel.
    pub fn after(row: &ChannelRow) -> Self {
        Self {
            since: row.state.stage_started_at,
            id: row.id.as_uuid(),
        }
    }
}

/// Channels whose back-off is over, whose worker has reported nothing since
/// `silent_before`, or whose job is due to be queued again; the longest unchanged first,
/// at most [`PAGE_SIZE`] (indexes `…_channel_running`). Channels at a stage of a newer
/// version are not returned.
pub async fn due_for_sweep(
    connection: &mut PgConnection,
    kind: Kind,
    now: OffsetDateTime,
    silent_before: OffsetDateTime,
    after: Position,
) -> Result<Vec<ChannelRow>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(per_kind!(
        kind,
        "SELECT c.id, c.account_id, c.sync_status::text, c.sync_stage, c.sync_stage_started_at,
                c.sync_cursor, c.synced_at, c.throttle_failure_count, c.throttle_retry_after,
                c.generation, c.last_failure
         FROM ",
        " c
         JOIN sync.connected_account a ON a.id = c.account_id
         LEFT JOIN sync.sync_job j ON j.channel_id = c.id AND j.generation = c.generation
         WHERE c.sync_status IN ('ONGOING', 'ACTIVE')
           AND a.disconnected_at IS NULL
           AND (c.sync_stage_started_at, c.id) > ($1, $2)
           AND ((c.throttle_retry_after <= $3 AND c.sync_stage = ANY($4))
                OR (c.throttle_retry_after IS NULL
                    AND c.sync_stage_started_at < $5
                    AND (c.sync_stage = ANY($6)
                         OR (c.sync_stage = ANY($7)
                             AND (c.sync_status = 'ONGOING' OR c.sync_stage <> $8)
                             AND (j.repeat_at IS NULL OR j.repeat_at <= $3)))))
         ORDER BY c.sync_stage_started_at, c.id
         LIMIT $9"
    ))
    .bind(after.since)
    .bind(after.id)
    .bind(now)
    .bind(Stage::names(&Stage::ALL, kind))
    .bind(silent_before)
    .bind(Stage::names(&Stage::AT_WORK, kind))
    .bind(Stage::names(&Stage::WAITING, kind))
    .bind(Stage::ListFetchPending.name(kind))
    .bind(PAGE_SIZE)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.read(kind)).collect())
}

/// Channels at `FAILED_UNKNOWN` of connected accounts, with the reason; the oldest
/// failure first.
pub async fn failed(connection: &mut PgConnection) -> Result<Vec<FailedRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT a.id AS account_id, c.id AS channel_id, c.kind, a.provider, a.handle,
                c.sync_stage_started_at AS failed_at, c.last_failure AS reason
         FROM (SELECT id, account_id, 'message' AS kind, sync_stage_started_at, last_failure
               FROM sync.message_channel WHERE sync_status = 'FAILED_UNKNOWN'
               UNION ALL
               SELECT id, account_id, 'calendar', sync_stage_started_at, last_failure
               FROM sync.calendar_channel WHERE sync_status = 'FAILED_UNKNOWN') c
         JOIN sync.connected_account a ON a.id = c.account_id
         WHERE a.disconnected_at IS NULL
         ORDER BY c.sync_stage_started_at, c.id",
    )
    .fetch_all(connection)
    .await
}

/// A channel that failed, as an operator looks at it.
#[derive(Debug, Clone)]
pub struct FailedRow {
    /// Connected account.
    pub account_id: AccountId,
    /// Channel.
    pub channel_id: ChannelId,
    /// `message` or `calendar`.
    pub kind: String,
    /// Provider name, as it is stored.
    pub provider: String,
    /// Mailbox address.
    pub handle: String,
    /// When it failed.
    pub failed_at: OffsetDateTime,
    /// Why it failed, if that is known.
    pub reason: Option<String>,
}

impl FromRow<'_, PgRow> for FailedRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            account_id: row::id(row, "account_id")?,
            channel_id: row::id(row, "channel_id")?,
            kind: row.try_get("kind")?,
            provider: row.try_get("provider")?,
            handle: row.try_get("handle")?,
            failed_at: row.try_get("failed_at")?,
            reason: row.try_get("reason")?,
        })
    }
}
