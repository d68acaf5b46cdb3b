//! The changes of the channels of an account after a new grant, and the event of the
//! connection.

use latchkey_domain::{ChannelId, EventId};
use latchkey_messaging::outbox::{Event as _, Message, Schema, enqueue_all};
use latchkey_proto::events::{AccountConnected, Identity};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::channel_input::{ConnectMode, input_after_sign_in};
use super::sign_in::SignIn;
use crate::channel::{Channel, Kind};
use crate::channel_events::{self, ChannelChange};
use crate::store::account::{self, Account};
use crate::store::channel::ChannelRow;

/// The change of the stored grant, which decides what happens to the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GrantChange {
    /// The account could not be used before. It is a reconnection if a grant was
    /// stored before.
    Connected { reconnected: bool },
    /// Both tokens were replaced.
    Replaced,
    /// The access token was replaced by one with other scopes.
    Widened,
    /// The access token was replaced by one with the same scopes.
    Renewed,
}

/// Moves the channels of an account, which are `rows`, after a new grant, and publishes the
/// connection.
pub(super) async fn move_channels(
    connection: &mut PgConnection,
    (account, rows): (&Account, &[ChannelRow]),
    sign_in: &SignIn,
    mode: ConnectMode,
    change: GrantChange,
    event: EventId,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let reconnected =
        matches!(change, GrantChange::Connected { .. }) || account.disconnected_at.is_some();
    let replaced = change != GrantChange::Renewed;
    let moved = channel_changes(account, rows, sign_in, mode, reconnected, replaced, now);
    if account.disconnected_at.is_some() {
        account::set_disconnected(connection, account.id, None).await?;
    }
    let mut messages = Vec::new();
    if matches!(
        change,
        GrantChange::Connected { .. } | GrantChange::Replaced
    ) {
        let has_older_grant = change == (GrantChange::Connected { reconnected: true });
        messages.push(connected(
            account,
            rows,
            &moved,
            sign_in,
            has_older_grant,
            event,
        ));
    }
    messages.extend(channel_events::store(connection, account, &moved, event, now).await?);
    enqueue_all(connection, Schema::Sync, messages).await
}

/// The channels that change.
fn channel_changes(
    account: &Account,
    rows: &[ChannelRow],
    sign_in: &SignIn,
    mode: ConnectMode,
    reconnected: bool,
    replaced: bool,
    now: OffsetDateTime,
) -> Vec<ChannelChange> {
    let mut moved = Vec::new();
    for (kind, wanted) in sign_in.channels() {
        let row = rows.iter().find(|row| row.kind == kind);
        let current = row.map(|row| &row.state);
        let Some(input) = input_after_sign_in(current, wanted.access, mode, reconnected, replaced)
        else {
            continue;
        };
        let state = current.cloned().unwrap_or_else(|| Channel::new(now));
        // The state machine accepts every input of a connection in every state.
        let Ok(state) = state.after(input, now) else {
            continue;
        };
        moved.push(ChannelChange {
            before: current.cloned(),
            row: ChannelRow {
                id: row.map_or_else(ChannelId::generate, |row| row.id),
                account_id: account.id,
                kind,
                state,
            },
        });
    }
    moved
}

/// The event of the connection.
fn connected(
    account: &Account,
    rows: &[ChannelRow],
    moved: &[ChannelChange],
    sign_in: &SignIn,
    reconnected: bool,
    cause: EventId,
) -> Message {
    let channel_id = |kind: Kind| {
        moved
            .iter()
            .map(|change| &change.row)
            .chain(rows)
            .find(|row| row.kind == kind)
            .map(|row| row.id.to_string())
            .unwrap_or_default()
    };
    let event = AccountConnected {
        account_id: account.id.to_string(),
        workspace_id: account.binding.workspace.to_string(),
        user_id: account.binding.user.to_string(),
        identity: Some(Identity {
            provider: account.binding.provider.to_string(),
            issuer: account.binding.issuer.to_string(),
            subject: account.binding.subject.to_string(),
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
    Message::event(id, account.id, &event)
}
