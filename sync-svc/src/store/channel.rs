//! Channels of both kinds.

use latchkey_domain::ChannelId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::per_kind;
use crate::channel::{Channel, Kind, Stage, SyncStatus};

/// A channel with its place.
#[derive(Debug, Clone)]
pub struct ChannelRow {
    /// Channel.
    pub id: ChannelId,
    /// Connected account.
    pub account_id: Uuid,
    /// Kind.
    pub kind: Kind,
    /// State.
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
    fn read(self, kind: Kind) -> Result<ChannelRow, sqlx::Error> {
        let unknown = |text: &str| sqlx::Error::Decode(format!("unknown state {text}").into());
        Ok(ChannelRow {
            id: self.id.into(),
            account_id: self.account_id,
            kind,
            state: Channel {
                status: SyncStatus::parse(&self.sync_status)
                    .ok_or_else(|| unknown(&self.sync_status))?,
                stage: Stage::parse(kind, &self.sync_stage)
                    .ok_or_else(|| unknown(&self.sync_stage))?,
                stage_started_at: self.sync_stage_started_at,
                cursor: self.sync_cursor,
                synced_at: self.synced_at,
                throttle_failures: self.throttle_failure_count,
                throttle_until: self.throttle_retry_after,
                generation: self.generation,
                last_failure: self.last_failure,
            },
        })
    }
}

/// The channels of these accounts, message channels first.
pub async fn of_accounts(
    connection: &mut PgConnection,
    accounts: &[Uuid],
) -> Result<Vec<ChannelRow>, sqlx::Error> {
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
        .bind(accounts)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            found.push(row.read(kind)?);
        }
    }
    Ok(found)
}

/// The account of a channel, whichever kind it is.
pub async fn account_of(
    connection: &mut PgConnection,
    channel: ChannelId,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT account_id FROM sync.message_channel WHERE id = $1
         UNION ALL
         SELECT account_id FROM sync.calendar_channel WHERE id = $1",
    )
    .bind(channel.as_uuid())
    .fetch_optional(connection)
    .await
}

/// The kind of a channel.
pub async fn kind_of(
    connection: &mut PgConnection,
    channel: ChannelId,
) -> Result<Option<Kind>, sqlx::Error> {
    let is_message: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM sync.message_channel WHERE id = $1
         UNION ALL
         SELECT false FROM sync.calendar_channel WHERE id = $1",
    )
    .bind(channel.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(is_message.map(|is_message| {
        if is_message {
            Kind::Message
        } else {
            Kind::Calendar
        }
    }))
}

/// Inserts a new channel. Visibility, policies and the rest are the table's
/// defaults.
pub async fn insert(connection: &mut PgConnection, row: &ChannelRow) -> Result<(), sqlx::Error> {
    sqlx::query(per_kind!(
        row.kind,
        "INSERT INTO ",
        " (id, account_id, sync_status, sync_stage, sync_stage_started_at, generation,
           last_failure)
          VALUES ($1, $2, $3::sync.sync_status, $4, $5, $6, $7)"
    ))
    .bind(row.id.as_uuid())
    .bind(row.account_id)
    .bind(row.state.status.as_str())
    .bind(row.state.stage.name(row.kind))
    .bind(row.state.stage_started_at)
    .bind(row.state.generation)
    .bind(row.state.last_failure.as_deref())
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
    .bind(row.state.last_failure.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets who sees what, as the person chose it at `chosen_at`, unless a newer
/// choice is stored.
pub async fn choose_visibility(
    connection: &mut PgConnection,
    account: Uuid,
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
    .bind(account)
    .bind(visibility)
    .bind(chosen_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Channels whose retry is due or whose work stands still since `stuck_before`,
/// longest first, 100 at most (indexes `…_channel_running`).
pub async fn due(
    connection: &mut PgConnection,
    kind: Kind,
    now: OffsetDateTime,
    stuck_before: OffsetDateTime,
) -> Result<Vec<ChannelRow>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(per_kind!(
        kind,
        "SELECT c.id, c.account_id, c.sync_status::text, c.sync_stage, c.sync_stage_started_at,
                c.sync_cursor, c.synced_at, c.throttle_failure_count, c.throttle_retry_after,
                c.generation, c.last_failure
         FROM ",
        " c
         JOIN sync.connected_account a ON a.id = c.account_id
         WHERE c.sync_status IN ('ONGOING', 'ACTIVE')
           AND a.disconnected_at IS NULL
           AND (c.throttle_retry_after <= $1
                OR (c.throttle_retry_after IS NULL
                    AND c.sync_stage_started_at < $2
                    AND (c.sync_status = 'ONGOING' OR c.sync_stage NOT LIKE '%LIST_FETCH_PENDING')))
         ORDER BY c.sync_stage_started_at
         LIMIT 100"
    ))
    .bind(now)
    .bind(stuck_before)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| row.read(kind)).collect()
}
