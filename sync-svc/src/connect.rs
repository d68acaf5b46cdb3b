//! The connection transaction: inbox, account, sealed grant, channels, first
//! jobs and events, together or not at all (R20).

mod grant;
mod sign_in;
mod start;

use latchkey_domain::{ChannelId, EventId};
use latchkey_messaging::outbox::{Event as _, Message, Schema, enqueue};
use latchkey_proto::events::{AccountConnected, Identity};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::announce;
use crate::channel::{Channel, Kind};
use crate::store::account::{self, Account};
use crate::store::channel::{self, ChannelRow};
use crate::store::{credential, inbox};

pub use grant::{Decision, Grant, StoredGrant, decide};
pub use sign_in::{Access, InvalidSignIn, SealedGrant, SignIn, Wanted};
pub use start::{ConnectMode, InvalidConnectMode};

/// What became of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The same event was applied before.
    Duplicate,
    /// Applied; what happened to the grant.
    Applied(Decision),
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
    let connection = &mut *transaction;
    if !inbox::first_time(connection, event, "connect").await? {
        return Ok(Outcome::Duplicate);
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
    let decision = decide_for(&account, stored.as_ref(), sign_in);
    store_grant(connection, &account, stored.as_ref(), sign_in, decision).await?;
    credential::set_handle(connection, &account).await?;

    // True where nothing worked before: every channel begins (again).
    let revived = stored.as_ref().is_none_or(|stored| !stored.grant.alive)
        || account.disconnected_at.is_some();
    let same_width = stored
        .as_ref()
        .is_some_and(|stored| stored.grant.grant.scopes.covers(&sign_in.grant.scopes));
    let replaced = decision == Decision::Replace;
    if replaced || (decision == Decision::TakeAccessToken && same_width) {
        let rows = channel::of_accounts(connection, &[account.id]).await?;
        let moved = move_channels(
            &account,
            &rows,
            sign_in,
            mode,
            replaced && revived,
            replaced,
            now,
        );
        if replaced {
            if account.disconnected_at.is_some() {
                account::set_disconnected(connection, account.id, None).await?;
            }
            let repaired = stored.is_some() && revived;
            tell_connected(
                connection, &account, &rows, &moved, sign_in, repaired, event,
            )
            .await?;
        }
        for (before, row) in &moved {
            announce::channel_moved(connection, &account, before.as_ref(), row, event, now).await?;
        }
        for (kind, wanted) in sign_in.wanted() {
            if let Some(visibility) = wanted.visibility {
                channel::set_visibility(connection, account.id, kind, visibility).await?;
            }
        }
    }
    transaction.commit().await?;
    Ok(Outcome::Applied(decision))
}

/// A disconnection is like an erasure: only a sign-in after it counts.
fn decide_for(
    account: &Account,
    stored: Option<&credential::Stored>,
    sign_in: &SignIn,
) -> Decision {
    let disconnected_later = account
        .disconnected_at
        .is_some_and(|at| sign_in.grant.authenticated_at <= at);
    if disconnected_later {
        return Decision::KeepNewer;
    }
    decide(stored.map(|stored| &stored.grant), &sign_in.grant)
}

async fn store_grant(
    connection: &mut PgConnection,
    account: &Account,
    stored: Option<&credential::Stored>,
    sign_in: &SignIn,
    decision: Decision,
) -> Result<(), sqlx::Error> {
    let sealed = &sign_in.sealed;
    match decision {
        Decision::Replace => {
            credential::replace(
                connection,
                account.id,
                &sign_in.binding,
                &sign_in.handle,
                sealed,
                &sign_in.grant,
            )
            .await
        }
        // A refresh under way brings a fresh token itself, and must not lose
        // its compare-and-swap: it may hold the only living refresh token.
        Decision::TakeAccessToken if stored.is_some_and(|stored| stored.refreshing) => Ok(()),
        Decision::TakeAccessToken => {
            let authenticated_at = sign_in.grant.authenticated_at;
            credential::take_access_token(connection, account.id, sealed, authenticated_at).await
        }
        Decision::TakeRefreshToken => {
            credential::take_refresh_token(connection, account.id, sealed).await
        }
        Decision::KeepWider | Decision::KeepNewer => Ok(()),
    }
}

/// The channels that change, each with its state before (none where it is new).
fn move_channels(
    account: &Account,
    rows: &[ChannelRow],
    sign_in: &SignIn,
    mode: ConnectMode,
    revived: bool,
    replaced: bool,
    now: OffsetDateTime,
) -> Vec<(Option<Channel>, ChannelRow)> {
    let mut moved = Vec::new();
    for (kind, wanted) in sign_in.wanted() {
        let row = rows.iter().find(|row| row.kind == kind);
        let current = row.map(|row| &row.state);
        let Some(input) = start::input(current, wanted.access, mode, revived, replaced) else {
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

async fn tell_connected(
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
