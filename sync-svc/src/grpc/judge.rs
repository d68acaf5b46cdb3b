//! What a caller may see of accounts (R36): the policy on what is known of them.

use latchkey_domain::{AccountId, ChannelId, ProviderName};
use latchkey_policy::audit::{Outcome, Record};
use latchkey_policy::{Ask, Call, Choice, moment_of_refusal};
use sqlx::PgPool;
use tokio::time::Instant;

use super::status::RpcError;
use crate::channel::Kind;
use crate::progress::ProgressError;
use crate::store::account::{self, Place};
use crate::store::channel;

/// Judges an account of which only the id is known. An account outside the policy
/// and one that does not exist are refused in the same words, after the same
/// look-up, at the same moment.
pub(super) async fn account(call: &Call, pool: &PgPool, id: AccountId) -> Result<(), RpcError> {
    if call.reaches_everything() {
        return Ok(());
    }
    let begun = Instant::now();
    let place = {
        let mut connection = pool.acquire().await?;
        account::place_of(&mut connection, id).await?
    };
    match place {
        Some(place) if allows(call, &place) => Ok(()),
        place => Err(refuse(call, Some(id), place, begun).await),
    }
}

/// Judges a channel of which only the id is known, as [`account`] does.
pub(super) async fn channel(
    call: &Call,
    pool: &PgPool,
    id: ChannelId,
) -> Result<(Kind, Place), RpcError> {
    let begun = Instant::now();
    let found = {
        let mut connection = pool.acquire().await?;
        channel::place_of(&mut connection, id).await?
    };
    match found {
        Some((kind, place)) if call.reaches_everything() || allows(call, &place) => {
            Ok((kind, place))
        }
        None if call.reaches_everything() => Err(ProgressError::ChannelNotFound.into()),
        found => {
            let place = found.map(|(_, place)| place);
            let id = place.as_ref().map(|place| place.id.into());
            Err(refuse(call, id, place, begun).await)
        }
    }
}

/// The providers that a list shows; `None` for all.
pub(super) fn names(providers: Choice<ProviderName>) -> Option<Vec<String>> {
    match providers {
        Choice::Every => None,
        Choice::Only(these) => Some(these.iter().map(ToString::to_string).collect()),
    }
}

/// Writes down what was answered about an account.
pub(super) fn answered(call: &Call, place: &Place) {
    call.write(Record {
        account: Some(place.id.into()),
        workspace: Some(place.workspace_id.into()),
        provider: place.provider.parse().ok(),
        ..call.record(Outcome::Answered)
    });
}

fn allows(call: &Call, place: &Place) -> bool {
    // A provider whose name cannot be read is nobody's but of who may see all.
    place
        .provider
        .parse::<ProviderName>()
        .is_ok_and(|provider| {
            call.allows(&Ask {
                workspace: Some(place.workspace_id.into()),
                provider: Some(&provider),
                ..Ask::method(call.method())
            })
        })
}

async fn refuse(
    call: &Call,
    id: Option<AccountId>,
    place: Option<Place>,
    begun: Instant,
) -> RpcError {
    let known = place.and_then(|place| {
        let provider = place.provider.parse().ok()?;
        Some((place.workspace_id.into(), provider))
    });
    let refused = call.refuse_account(id, known);
    moment_of_refusal(begun).await;
    refused.into()
}
