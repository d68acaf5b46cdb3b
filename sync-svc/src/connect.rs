//! The connection transaction: inbox, account, sealed grant, channels, first
//! jobs and events, together or not at all (R20).

mod channel_input;
mod sign_in;

use latchkey_domain::{ChannelId, EventId};
use latchkey_messaging::outbox::{Event as _, Message, Schema, enqueue};
use latchkey_proto::events::{AccountConnected, Identity};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::channel::{Channel, Kind};
use crate::channel_events;
use crate::grant::{Decision, Merged, Source, decide};
use crate::store::account::{self, Account};
use crate::store::channel::{self, ChannelRow};
use crate::store::{credential, inbox, member};

pub use channel_input::{ConnectMode, InvalidConnectMode};
pub use sign_in::{Access, InvalidSignIn, SignIn, WantedChannel};

/// What became of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The same event was applied before.
    Duplicate,
    /// Applied; what happened to the grant.
    Applied(Decision),
    /// The person was taken out of the workspace later: nothing is connected.
    Removed,
}

/// Applies a sign-in. Any number of deliveries of any number of sign-ins may
/// run at once: those of one account go one after another, and the order does
/// not matter.
///
/// # Errors
/// The database's refusal; nothing was written.
pub async fn apply(
    pool: &PgPool,
    mode: ConnectMode,
    event: EventId,
    sign_in: &SignIn,
    now: OffsetDateTime,
) -> Result<Outcome, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let outcome = apply_on(&mut transaction, mode, event, sign_in, now).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// [`apply`] in the caller's transaction.
///
/// # Errors
/// The database's refusal; the transaction has to be rolled back.
pub async fn apply_on(
    connection: &mut PgConnection,
    mode: ConnectMode,
    event: EventId,
    sign_in: &SignIn,
    now: OffsetDateTime,
) -> Result<Outcome, sqlx::Error> {
    if !inbox::record_first_delivery(connection, event, "connect").await? {
        return Ok(Outcome::Duplicate);
    }
    let (workspace, user) = (sign_in.binding.workspace, sign_in.binding.user);
    member::lock_shared(connection, workspace, user).await?;
    if member::removed_at(connection, workspace, user)
        .await?
        .is_some_and(|at| sign_in.grant.authenticated_at <= at)
    {
        return Ok(Outcome::Removed);
    }
    let account = account::upsert(
        connection,
        &sign_in.binding,
        (&sign_in.handle, sign_in.handle_verified),
        &sign_in.display_name,
        sign_in.grant.authenticated_at,
        now,
    )
    .await?;
    let stored = credential::lock(connection, account.id, now).await?;
    let decision = decide(stored.as_ref().map(|stored| &stored.grants), &sign_in.grant);
    keep_replaced_refresh_token(connection, &account, stored.as_ref(), sign_in, decision).await?;
    if let Decision::Take(merged) = decision {
        let change = store_grant(connection, &account, stored.as_ref(), sign_in, merged).await?;
        if let Some(change) = change {
            move_channels(connection, &account, sign_in, mode, change, event, now).await?;
        }
    }
    credential::set_handle(connection, &account).await?;
    store_visibilities(connection, &account, sign_in).await?;
    Ok(Outcome::Applied(decision))
}

/// Keeps the refresh token that gives way, be it the stored one or that of the sign-in:
/// some providers go on serving both.
async fn keep_replaced_refresh_token(
    connection: &mut PgConnection,
    account: &Account,
    stored: Option<&credential::StoredCredential>,
    sign_in: &SignIn,
    decision: Decision,
) -> Result<(), sqlx::Error> {
    let revives = stored.is_none_or(|stored| !stored.grants.is_alive());
    match decision {
        // The first sign-in has nothing to give way.
        Decision::Take(_) if stored.is_none() => Ok(()),
        Decision::Take(merged) if revives || merged.refresh != Source::Stored => {
            credential::keep_replaced(connection, account.id).await
        }
        Decision::Take(_) | Decision::KeepStored | Decision::KeepDead => {
            match &sign_in.sealed.refresh_token {
                Some(token) => credential::keep_unused(connection, account.id, token).await,
                None => Ok(()),
            }
        }
        // There is nothing to disconnect.
        Decision::KeepDisconnected => Ok(()),
    }
}

/// What a new grant means for the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The account could not be used before; `again` if there was one.
    Connected { reconnected: bool },
    /// Another whole grant.
    Replaced,
    /// An access token with other scopes.
    Widened,
    /// An access token with the same scopes.
    Renewed,
}

/// Stores the merged tokens. Answers nothing if the channels are not concerned.
async fn store_grant(
    connection: &mut PgConnection,
    account: &Account,
    stored: Option<&credential::StoredCredential>,
    sign_in: &SignIn,
    merged: Merged,
) -> Result<Option<Change>, sqlx::Error> {
    let (sealed, grant) = (&sign_in.sealed, &sign_in.grant);
    let alive = stored.filter(|stored| stored.grants.is_alive());
    let Some(alive) = alive else {
        if let Some(held) = stored.map(|stored| &stored.grants) {
            if let Some(not_before) = held.not_before {
                credential::delete_deaths(connection, account.id, not_before).await?;
            }
            if let Some(death) = held.death() {
                credential::insert_death(connection, account.id, death).await?;
            }
        }
        credential::replace(connection, account, sealed, grant).await?;
        return Ok(Some(Change::Connected {
            reconnected: stored.is_some(),
        }));
    };
    let held = &alive.grants;
    match (merged.access, merged.refresh) {
        (Source::Incoming, Source::Stored) => {
            let same = held.access.as_ref().is_some_and(|access| {
                access.scopes.covers(&grant.scopes) && grant.scopes.covers(&access.scopes)
            });
            let change = if same {
                Change::Renewed
            } else {
                Change::Widened
            };
            // A refresh under way brings a fresh token itself, and must not lose
            // its compare-and-swap: it may hold the only living refresh token.
            if alive.refreshing {
                return Ok(same.then_some(change));
            }
            credential::replace_access_token(connection, account.id, sealed, grant).await?;
            Ok(Some(change))
        }
        (Source::Incoming, Source::Incoming | Source::Nothing) => {
            credential::replace(connection, account, sealed, grant).await?;
            Ok(Some(Change::Replaced))
        }
        (_, Source::Incoming) => {
            credential::replace_refresh_token(connection, account.id, sealed, grant).await?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Moves the channels after a new grant, and tells of the connection.
async fn move_channels(
    connection: &mut PgConnection,
    account: &Account,
    sign_in: &SignIn,
    mode: ConnectMode,
    change: Change,
    event: EventId,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let rows = channel::of_accounts(connection, &[account.id]).await?;
    let revived = matches!(change, Change::Connected { .. }) || account.disconnected_at.is_some();
    let replaced = change != Change::Renewed;
    let moved = channel_changes(account, &rows, sign_in, mode, revived, replaced, now);
    if account.disconnected_at.is_some() {
        account::set_disconnected(connection, account.id, None).await?;
    }
    if matches!(change, Change::Connected { .. } | Change::Replaced) {
        let reconnected = change == (Change::Connected { reconnected: true });
        publish_connected(
            connection,
            account,
            &rows,
            &moved,
            sign_in,
            reconnected,
            event,
        )
        .await?;
    }
    for (before, row) in &moved {
        channel_events::store_and_publish(connection, account, before.as_ref(), row, event, now)
            .await?;
    }
    Ok(())
}

/// A choice is ordered by its own time, whatever becomes of the grant that
/// came with it, and a disconnect does not take it back.
async fn store_visibilities(
    connection: &mut PgConnection,
    account: &Account,
    sign_in: &SignIn,
) -> Result<(), sqlx::Error> {
    let chosen_at = sign_in.grant.authenticated_at;
    for (kind, wanted) in sign_in.channels() {
        if let Some(visibility) = wanted.visibility {
            channel::set_visibility(connection, account.id, kind, visibility, chosen_at).await?;
        }
    }
    Ok(())
}

/// The channels that change, each with its state before (none where it is new).
fn channel_changes(
    account: &Account,
    rows: &[ChannelRow],
    sign_in: &SignIn,
    mode: ConnectMode,
    revived: bool,
    replaced: bool,
    now: OffsetDateTime,
) -> Vec<(Option<Channel>, ChannelRow)> {
    let mut moved = Vec::new();
    for (kind, wanted) in sign_in.channels() {
        let row = rows.iter().find(|row| row.kind == kind);
        let current = row.map(|row| &row.state);
        let Some(input) =
            channel_input::input_after_sign_in(current, wanted.access, mode, revived, replaced)
        else {
            continue;
        };
        let state = current.cloned().unwrap_or_else(|| Channel::new(now));
        // Every input of a connection is known in every state.
        let Ok(state) = state.after(input, now) else {
            continue;
        };
        let next = ChannelRow {
            id: row.map_or_else(ChannelId::generate, |row| row.id),
            account_id: account.id,
            kind,
            state,
        };
        moved.push((current.cloned(), next));
    }
    moved
}

async fn publish_connected(
    connection: &mut PgConnection,
    account: &Account,
    rows: &[ChannelRow],
    moved: &[(Option<Channel>, ChannelRow)],
    sign_in: &SignIn,
    reconnected: bool,
    cause: EventId,
) -> Result<(), sqlx::Error> {
    let channel_id = |kind: Kind| {
        moved
            .iter()
            .map(|(_, row)| row)
            .chain(rows)
            .find(|row| row.kind == kind)
            .map(|row| row.id.to_string())
            .unwrap_or_default()
    };
    let event = AccountConnected {
        account_id: account.id.to_string(),
        workspace_id: account.workspace_id.to_string(),
        user_id: account.user_id.to_string(),
        identity: Some(Identity {
            provider: account.provider.clone(),
            issuer: account.issuer.clone(),
            subject: account.subject.clone(),
            handle: account.handle.clone(),
            display_name: account.display_name.clone(),
            handle_verified: Some(account.handle_verified()),
        }),
        granted_scopes: sign_in.grant.scopes.to_vec(),
        message_channel_id: channel_id(Kind::Message),
        calendar_channel_id: channel_id(Kind::Calendar),
        reconnected,
    };
    let id = EventId::derived(cause.as_uuid(), AccountConnected::ROUTING_KEY);
    let message = Message::event(id, account.id, &event);
    enqueue(connection, Schema::Sync, message).await
}
