//! Connects an account after a sign-in. Inbox, account, sealed grant, channels,
//! first jobs and events are written in one transaction (R20).

mod channel_changes;
mod channel_input;
mod sign_in;

use latchkey_domain::EventId;
use latchkey_service::database::BoundedConnection;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::channel::Kind;
use crate::grant::{Decision, Merged, Source, decide};
use crate::store::account::{self, Account, SignedInAccount};
use crate::store::{channel, credential, grant_death, inbox, replaced_grant};
use channel_changes::GrantChange;

pub use channel_input::{ConnectMode, InvalidConnectMode};
pub use sign_in::{Access, InvalidSignIn, SignIn, WantedChannel};

/// The result of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The event was applied before.
    Duplicate,
    /// The event was applied, with this decision on the grant.
    Applied(Decision),
    /// The person was removed from the workspace after the sign-in: nothing is
    /// connected.
    Removed,
}

/// Applies a sign-in. Deliveries may be applied concurrently: those of one account
/// wait for each other, and the result does not depend on their order.
///
/// # Errors
/// The database failed; nothing was written.
pub async fn apply(
    pool: &PgPool,
    mode: ConnectMode,
    event: EventId,
    sign_in: &SignIn,
    now: OffsetDateTime,
) -> Result<Outcome, sqlx::Error> {
    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let outcome = apply_on(&mut transaction, mode, event, sign_in, now).await?;
    transaction.commit().await?;
    connection.return_untested();
    Ok(outcome)
}

/// [`apply`] in the caller's transaction.
///
/// # Errors
/// The database failed; the caller has to roll the transaction back.
pub async fn apply_on(
    connection: &mut PgConnection,
    mode: ConnectMode,
    event: EventId,
    sign_in: &SignIn,
    now: OffsetDateTime,
) -> Result<Outcome, sqlx::Error> {
    let (workspace, user) = (sign_in.binding.workspace, sign_in.binding.user);
    if !inbox::record_first_delivery_of_sign_in(connection, event, workspace, user).await? {
        return Ok(Outcome::Duplicate);
    }
    let found = account::upsert_unless_removed(
        connection,
        &sign_in.binding,
        (&sign_in.handle, sign_in.handle_verified),
        &sign_in.display_name,
        sign_in.grant.authenticated_at,
        now,
    )
    .await?;
    let Some(SignedInAccount { account, is_new }) = found else {
        return Ok(Outcome::Removed);
    };
    let (stored, channels) = if is_new {
        (None, Vec::new())
    } else {
        credential::lock_and_read_channels(connection, account.id, now).await?
    };
    let decision = decide(stored.as_ref().map(|stored| &stored.grants), &sign_in.grant);
    keep_replaced_refresh_token(connection, &account, stored.as_ref(), sign_in, decision).await?;
    let change = match decision {
        Decision::Take(merged) => {
            store_grant(connection, &account, stored.as_ref(), sign_in, merged).await?
        }
        Decision::KeepDisconnected | Decision::KeepDead | Decision::KeepStored => {
            credential::set_handle(connection, &account).await?;
            None
        }
    };
    if let Some(change) = change {
        let of = (&account, channels.as_slice());
        channel_changes::move_channels(connection, of, sign_in, mode, change, event, now).await?;
    }
    store_visibilities(connection, &account, sign_in).await?;
    Ok(Outcome::Applied(decision))
}

/// Keeps the refresh token that is not used from now on, which is either the stored
/// one or that of the sign-in: some providers accept both until they are revoked.
async fn keep_replaced_refresh_token(
    connection: &mut PgConnection,
    account: &Account,
    stored: Option<&credential::StoredCredential>,
    sign_in: &SignIn,
    decision: Decision,
) -> Result<(), sqlx::Error> {
    let reconnects = stored.is_none_or(|stored| !stored.grants.is_alive());
    match decision {
        // The first sign-in replaces nothing.
        Decision::Take(_) if stored.is_none() => Ok(()),
        Decision::Take(merged) if reconnects || merged.refresh != Source::Stored => {
            replaced_grant::keep_stored(connection, account.id).await
        }
        Decision::Take(_) | Decision::KeepStored | Decision::KeepDead => {
            match &sign_in.sealed.refresh_token {
                Some(token) => replaced_grant::keep_incoming(connection, account.id, token).await,
                None => Ok(()),
            }
        }
        // The account is disconnected: nothing is kept to be revoked later.
        Decision::KeepDisconnected => Ok(()),
    }
}

/// Stores the merged tokens and the address. Returns `None` if the channels do not change.
async fn store_grant(
    connection: &mut PgConnection,
    account: &Account,
    stored: Option<&credential::StoredCredential>,
    sign_in: &SignIn,
    merged: Merged,
) -> Result<Option<GrantChange>, sqlx::Error> {
    let (sealed, grant) = (&sign_in.sealed, &sign_in.grant);
    let alive = stored.filter(|stored| stored.grants.is_alive());
    let Some(alive) = alive else {
        if let Some(grants) = stored.map(|stored| &stored.grants) {
            if let Some(not_before) = grants.not_before {
                grant_death::delete_before(connection, account.id, not_before).await?;
            }
            if let Some(death) = grants.death() {
                grant_death::insert(connection, account.id, death).await?;
            }
        }
        credential::replace(connection, account, sealed, grant).await?;
        return Ok(Some(GrantChange::Connected {
            reconnected: stored.is_some(),
        }));
    };
    match (merged.access, merged.refresh) {
        (Source::Incoming, Source::Stored) => {
            let same = alive.grants.access.as_ref().is_some_and(|access| {
                access.scopes.covers(&grant.scopes) && grant.scopes.covers(&access.scopes)
            });
            let change = if same {
                GrantChange::Renewed
            } else {
                GrantChange::Widened
            };
            // A refresh that is in progress brings a new access token itself. It must
            // not lose its compare-and-swap: it may hold the only valid refresh token.
            if alive.refreshing {
                credential::set_handle(connection, account).await?;
                return Ok(same.then_some(change));
            }
            credential::replace_access_token(connection, account, sealed, grant).await?;
            Ok(Some(change))
        }
        (Source::Incoming, Source::Incoming | Source::Nothing) => {
            credential::replace(connection, account, sealed, grant).await?;
            Ok(Some(GrantChange::Replaced))
        }
        (_, Source::Incoming) => {
            credential::replace_refresh_token(connection, account, sealed, grant).await?;
            Ok(None)
        }
        _ => {
            credential::set_handle(connection, account).await?;
            Ok(None)
        }
    }
}

/// Stores the visibilities that the person chose. A choice is ordered by its own
/// time: it does not depend on whether its grant is stored, and a disconnect does
/// not revert it.
async fn store_visibilities(
    connection: &mut PgConnection,
    account: &Account,
    sign_in: &SignIn,
) -> Result<(), sqlx::Error> {
    let chosen: Vec<(Kind, &str)> = sign_in
        .channels()
        .into_iter()
        .filter_map(|(kind, wanted)| Some((kind, wanted.visibility?)))
        .collect();
    let chosen_at = sign_in.grant.authenticated_at;
    channel::set_visibilities(connection, account.id, &chosen, chosen_at).await
}
