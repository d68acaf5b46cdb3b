//! Applies the events of refresh-svc about grants: a grant died
//! (`account.reauth_required.v1`), an account was disconnected
//! (`account.disconnected.v1`).

use latchkey_domain::{AccountId, EventId};
use latchkey_proto::events::{AccountDisconnected, AccountReauthRequired};
use latchkey_proto::time_to_microsecond;
use latchkey_service::database::BoundedConnection;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::channel::Input;
use crate::channel_events;
use crate::store::account::{self, Account};
use crate::store::channel::ChannelRow;
use crate::store::{credential, inbox};

/// Why an event of refresh-svc was not applied.
#[derive(Debug, thiserror::Error)]
pub enum GrantEventError {
    /// The account id is not a UUID.
    #[error(transparent)]
    Id(#[from] latchkey_domain::InvalidId),
    /// A time is missing or out of range.
    #[error("{0} is missing or out of range")]
    Time(&'static str),
    /// The database failed; nothing was written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Marks the channels of an account whose grant died. refresh-svc stored the death in
/// the transaction of the event; the event is ignored if the row says that the person
/// has signed in again since.
///
/// # Errors
/// The event is malformed, or the database failed.
pub async fn reauth_required(
    pool: &PgPool,
    event: EventId,
    fact: &AccountReauthRequired,
    now: OffsetDateTime,
) -> Result<(), GrantEventError> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    reauth_required_on(&mut transaction, event, fact, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// [`reauth_required`] in the caller's transaction.
///
/// # Errors
/// The event is malformed, or the database failed.
pub async fn reauth_required_on(
    connection: &mut PgConnection,
    event: EventId,
    fact: &AccountReauthRequired,
    now: OffsetDateTime,
) -> Result<(), GrantEventError> {
    let id: AccountId = fact.account_id.parse()?;
    if !inbox::record_first_delivery(connection, event, "reauth_required").await? {
        return Ok(());
    }
    if let Some(account) = account::lock(connection, id).await? {
        let (stored, channels) =
            credential::lock_and_read_channels(connection, account.id, now).await?;
        if stored.is_some_and(|stored| stored.refused) {
            let input = Input::GrantDied(fact.reason.clone());
            move_channels(connection, &account, channels, &input, event, now).await?;
        } else {
            tracing::info!(account.id = %id, "grant was replaced before its death was reported");
        }
    }
    Ok(())
}

/// Stops the channels of a disconnected account. refresh-svc stored the disconnect in
/// the transaction of the event; the event is ignored if the row says that the person
/// has connected again since.
///
/// # Errors
/// The event is malformed, or the database failed.
pub async fn disconnected(
    pool: &PgPool,
    event: EventId,
    fact: &AccountDisconnected,
    now: OffsetDateTime,
) -> Result<(), GrantEventError> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    disconnected_on(&mut transaction, event, fact, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// [`disconnected`] in the caller's transaction.
///
/// # Errors
/// The event is malformed, or the database failed.
pub async fn disconnected_on(
    connection: &mut PgConnection,
    event: EventId,
    fact: &AccountDisconnected,
    now: OffsetDateTime,
) -> Result<(), GrantEventError> {
    let id: AccountId = fact.account_id.parse()?;
    let at = time_of(fact.disconnected_at, "disconnected_at")?;
    if !inbox::record_first_delivery(connection, event, "disconnected").await? {
        return Ok(());
    }
    if let Some(account) = account::lock(connection, id).await? {
        let (stored, channels) =
            credential::lock_and_read_channels(connection, account.id, now).await?;
        credential::set_not_before(connection, account.id, at).await?;
        if stored
            .as_ref()
            .is_some_and(|stored| stored.erased_at.is_none())
        {
            tracing::info!(account.id = %id, "account was connected again before the disconnect was reported");
        } else {
            let erased_at = stored.and_then(|stored| stored.erased_at);
            let latest = account.disconnected_at.max(erased_at).max(Some(at));
            account::set_disconnected(connection, account.id, latest).await?;
            let input = Input::Disconnected;
            move_channels(connection, &account, channels, &input, event, now).await?;
        }
    }
    Ok(())
}

async fn move_channels(
    connection: &mut PgConnection,
    account: &Account,
    channels: Vec<ChannelRow>,
    input: &Input,
    cause: EventId,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    for mut row in channels {
        // The state machine accepts both inputs in every state.
        let _ =
            channel_events::apply(connection, account, &mut row, input.clone(), cause, now).await?;
    }
    Ok(())
}

fn time_of(
    timestamp: Option<prost_types::Timestamp>,
    name: &'static str,
) -> Result<OffsetDateTime, GrantEventError> {
    timestamp
        .and_then(time_to_microsecond)
        .ok_or(GrantEventError::Time(name))
}
