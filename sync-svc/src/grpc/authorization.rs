//! What a caller may see of accounts (R36): the policy on what is known of them.

use latchkey_domain::{AccountId, ChannelId, ProviderName};
use latchkey_policy::audit::{Outcome, Record};
use latchkey_policy::{AccessRequest, Call, Choice, pad_response_time};
use sqlx::PgPool;
use tokio::time::Instant;

use super::status::RpcError;
use crate::channel::Kind;
use crate::store::account::{self, AccountLocation};
use crate::store::channel;
use crate::sync_reports::SyncReportError;

/// Judges an account of which only the id is known. An account outside the policy
/// and one that does not exist are refused in the same words, after the same
/// look-up, at the same moment.
pub(super) async fn account(call: &Call, pool: &PgPool, id: AccountId) -> Result<(), RpcError> {
    if call.allows_every_account() {
        return Ok(());
    }
    let begun = Instant::now();
    let place = {
        let mut connection = pool.acquire().await?;
        account::location_of(&mut connection, id).await?
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
) -> Result<(Kind, AccountLocation), RpcError> {
    let begun = Instant::now();
    let found = {
        let mut connection = pool.acquire().await?;
        channel::location_of(&mut connection, id).await?
    };
    match found {
        Some((kind, place)) if call.allows_every_account() || allows(call, &place) => {
            Ok((kind, place))
        }
        None if call.allows_every_account() => Err(SyncReportError::ChannelNotFound.into()),
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
pub(super) fn answered(call: &Call, place: &AccountLocation) {
    call.write(Record {
        account: Some(place.id.into()),
        workspace: Some(place.workspace_id.into()),
        provider: place.provider.parse().ok(),
        ..call.record(Outcome::Answered)
    });
}

fn allows(call: &Call, place: &AccountLocation) -> bool {
    // A provider whose name cannot be read is nobody's but of who may see all.
    place
        .provider
        .parse::<ProviderName>()
        .is_ok_and(|provider| {
            call.allows(&AccessRequest {
                workspace: Some(place.workspace_id.into()),
                provider: Some(&provider),
                ..AccessRequest::method(call.method())
            })
        })
}

async fn refuse(
    call: &Call,
    id: Option<AccountId>,
    place: Option<AccountLocation>,
    begun: Instant,
) -> RpcError {
    let known = place.and_then(|place| {
        let provider = place.provider.parse().ok()?;
        Some((place.workspace_id.into(), provider))
    });
    let refused = call.refuse_account(id, known);
    pad_response_time(begun).await;
    refused.into()
}
