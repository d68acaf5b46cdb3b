//! Channels of both kinds (`sync.channel`).

use latchkey_domain::{AccountId, ChannelId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::AccountLocation;
use super::row;
use crate::channel::{Channel, Kind, LastFailure, Stage, SyncStatus};

/// Columns of a [`ChannelRow`], of `sync.channel c`.
macro_rules! columns {
    () => {
        "c.id, c.account_id, c.kind, c.sync_status::text, c.sync_stage, c.sync_stage_started_at,
         c.sync_cursor, c.synced_at, c.throttle_failure_count, c.throttle_retry_after,
         c.generation, c.last_failure"
    };
}

pub(super) use columns;

/// [`PAGE_SIZE`] as a part of a statement, because the planner has to know the number.
macro_rules! page_size {
    () => {
        100
    };
}

/// Number of channels that a sweep reads at once.
pub const PAGE_SIZE: i64 = page_size!();

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

impl FromRow<'_, PgRow> for ChannelRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let kind: Kind = row::text(row, "kind")?;
        let last_failure: Option<String> = row.try_get("last_failure")?;
        Ok(Self {
            id: row::id(row, "id")?,
            account_id: row::id(row, "account_id")?,
            kind,
            state: Channel {
                status: SyncStatus::stored(row.try_get("sync_status")?),
                stage: Stage::stored(kind, row.try_get("sync_stage")?),
                stage_started_at: row.try_get("sync_stage_started_at")?,
                cursor: row.try_get("sync_cursor")?,
                synced_at: row.try_get("synced_at")?,
                throttle_failures: row.try_get("throttle_failure_count")?,
                throttle_until: row.try_get("throttle_retry_after")?,
                generation: row.try_get("generation")?,
                last_failure: last_failure.map(LastFailure::stored),
            },
        })
    }
}

/// The channels of these accounts, message channels first.
pub async fn of_accounts(
    connection: &mut PgConnection,
    accounts: &[AccountId],
) -> Result<Vec<ChannelRow>, sqlx::Error> {
    let accounts: Vec<Uuid> = accounts.iter().map(AccountId::as_uuid).collect();
    sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM sync.channel c
         WHERE c.account_id = ANY($1)
         ORDER BY c.kind DESC"
    ))
    .bind(accounts)
    .fetch_all(connection)
    .await
}

/// The account of a channel.
pub async fn account_of(
    connection: &mut PgConnection,
    channel: ChannelId,
) -> Result<Option<AccountId>, sqlx::Error> {
    let account: Option<Uuid> =
        sqlx::query_scalar("SELECT account_id FROM sync.channel WHERE id = $1")
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
        "SELECT c.kind, a.id, a.workspace_id, a.provider
         FROM sync.channel c
         JOIN sync.connected_account a ON a.id = c.account_id
         WHERE c.id = $1",
    )
    .bind(channel.as_uuid())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row::text(&row, "kind")?, AccountLocation::from_row(&row)?)))
        .transpose()
}

/// Inserts new channels. Visibility and policies get the defaults of their kind (trigger
/// `channel_defaults`).
pub async fn insert(
    connection: &mut PgConnection,
    rows: &[&ChannelRow],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO sync.channel
             (id, account_id, kind, sync_status, sync_stage, sync_stage_started_at, generation,
              last_failure)
         SELECT id, account_id, kind, status::sync.sync_status, stage, stage_started_at,
                generation, last_failure
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],
                     $6::timestamptz[], $7::integer[], $8::text[])
              AS new (id, account_id, kind, status, stage, stage_started_at, generation,
                      last_failure)",
    )
    .bind(ids(rows))
    .bind(each(rows, |row| row.account_id.as_uuid()))
    .bind(each(rows, |row| row.kind.as_str()))
    .bind(each(rows, |row| row.state.status.as_str()))
    .bind(each(rows, |row| row.state.stage.name(row.kind)))
    .bind(each(rows, |row| row.state.stage_started_at))
    .bind(each(rows, |row| row.state.generation))
    .bind(last_failures(rows))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the states of channels.
pub async fn update(
    connection: &mut PgConnection,
    rows: &[&ChannelRow],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE sync.channel c
         SET sync_status = new.status::sync.sync_status,
             sync_stage = new.stage,
             sync_stage_started_at = new.stage_started_at,
             sync_cursor = new.cursor,
             synced_at = new.synced_at,
             throttle_failure_count = new.throttle_failures,
             throttle_retry_after = new.throttle_until,
             generation = new.generation,
             last_failure = new.last_failure
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[],
                     $6::timestamptz[], $7::integer[], $8::timestamptz[], $9::integer[],
                     $10::text[])
              AS new (id, status, stage, stage_started_at, cursor, synced_at, throttle_failures,
                      throttle_until, generation, last_failure)
         WHERE c.id = new.id",
    )
    .bind(ids(rows))
    .bind(each(rows, |row| row.state.status.as_str()))
    .bind(each(rows, |row| row.state.stage.name(row.kind)))
    .bind(each(rows, |row| row.state.stage_started_at))
    .bind(each(rows, |row| row.state.cursor.as_str()))
    .bind(each(rows, |row| row.state.synced_at))
    .bind(each(rows, |row| row.state.throttle_failures))
    .bind(each(rows, |row| row.state.throttle_until))
    .bind(each(rows, |row| row.state.generation))
    .bind(last_failures(rows))
    .execute(connection)
    .await?;
    Ok(())
}

/// One column of these rows.
fn each<'r, T>(rows: &[&'r ChannelRow], column: impl Fn(&'r ChannelRow) -> T) -> Vec<T> {
    rows.iter().map(|row| column(row)).collect()
}

fn ids(rows: &[&ChannelRow]) -> Vec<Uuid> {
    each(rows, |row| row.id.as_uuid())
}

fn last_failures<'r>(rows: &[&'r ChannelRow]) -> Vec<Option<&'r str>> {
    each(rows, |row| {
        row.state.last_failure.as_ref().map(LastFailure::as_str)
    })
}

/// Stores the visibilities that the person chose at `chosen_at`, each unless a newer choice
/// is stored.
pub async fn set_visibilities(
    connection: &mut PgConnection,
    account: AccountId,
    chosen: &[(Kind, &str)],
    chosen_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    if chosen.is_empty() {
        return Ok(());
    }
    let (kinds, visibilities): (Vec<&str>, Vec<&str>) = chosen
        .iter()
        .map(|(kind, visibility)| (kind.as_str(), *visibility))
        .unzip();
    sqlx::query(
        "UPDATE sync.channel c
         SET visibility = new.visibility, visibility_chosen_at = $4
         FROM UNNEST($2::text[], $3::text[]) AS new (kind, visibility)
         WHERE c.account_id = $1 AND c.kind = new.kind
           AND (c.visibility_chosen_at IS NULL OR c.visibility_chosen_at < $4)",
    )
    .bind(account.as_uuid())
    .bind(kinds)
    .bind(visibilities)
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
/// at most [`PAGE_SIZE`]. The index `channel_sweep` has the conditions on `c` that have no
/// parameter: it leaves out the channels that wait for their next sync. Channels at a
/// stage of a newer version are not returned.
pub async fn due_for_sweep(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    silent_before: OffsetDateTime,
    after: Position,
) -> Result<Vec<ChannelRow>, sqlx::Error> {
    sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM sync.channel c
         JOIN sync.connected_account a ON a.id = c.account_id
         LEFT JOIN sync.sync_job j ON j.channel_id = c.id AND j.generation = c.generation
         WHERE c.sync_status IN ('ONGOING', 'ACTIVE')
           AND (c.sync_status = 'ONGOING' OR c.throttle_retry_after IS NOT NULL
                OR c.sync_stage NOT IN ('MESSAGE_LIST_FETCH_PENDING',
                                        'CALENDAR_EVENT_LIST_FETCH_PENDING'))
           AND a.disconnected_at IS NULL
           AND (c.sync_stage_started_at, c.id) > ($1, $2)
           AND ((c.throttle_retry_after <= $3 AND c.sync_stage = ANY($4))
                OR (c.throttle_retry_after IS NULL
                    AND c.sync_stage_started_at < $5
                    AND (c.sync_stage = ANY($6)
                         OR (c.sync_stage = ANY($7)
                             AND (c.sync_status = 'ONGOING' OR c.sync_stage <> ALL($8))
                             AND (j.repeat_at IS NULL OR j.repeat_at <= $3)))))
         ORDER BY c.sync_stage_started_at, c.id
         LIMIT ",
        page_size!()
    ))
    .bind(after.since)
    .bind(after.id)
    .bind(now)
    .bind(Stage::names(&Stage::ALL))
    .bind(silent_before)
    .bind(Stage::names(&Stage::AT_WORK))
    .bind(Stage::names(&Stage::WAITING))
    .bind(Stage::names(&[Stage::ListFetchPending]))
    .fetch_all(connection)
    .await
}

/// Channels at `FAILED_UNKNOWN` of connected accounts, with the reason; the oldest
/// failure first.
pub async fn failed(connection: &mut PgConnection) -> Result<Vec<FailedRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT a.id AS account_id, c.id AS channel_id, lower(c.kind) AS kind, a.provider,
                a.handle, c.sync_stage_started_at AS failed_at, c.last_failure AS reason
         FROM sync.channel c
         JOIN sync.connected_account a ON a.id = c.account_id
         WHERE c.sync_status = 'FAILED_UNKNOWN' AND a.disconnected_at IS NULL
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
