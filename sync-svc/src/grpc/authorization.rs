//! Which accounts and channels a caller may use (R36): the policy is applied to what
//! is stored of them.

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

/// Checks an account of which only the id is known. An account outside the policy
/// and one that does not exist are refused with the same text, after the same
/// look-up, after the same time.
pub(super) async fn account(call: &Call, pool: &PgPool, id: AccountId) -> Result<(), RpcError> {
    if call.allows_every_account() {
        return Ok(());
    }
    let started = Instant::now();
    let location = {
        let mut connection = pool.acquire().await?;
        account::location_of(&mut connection, id).await?
    };
    match location {
        Some(location) if allows(call, &location) => Ok(()),
        location => Err(refuse(call, Some(id), location, started).await),
    }
}

/// Checks a channel of which only the id is known, as [`account`] does.
pub(super) async fn channel(
    call: &Call,
    pool: &PgPool,
    id: ChannelId,
) -> Result<(Kind, AccountLocation), RpcError> {
    let started = Instant::now();
    let found = {
        let mut connection = pool.acquire().await?;
        channel::location_of(&mut connection, id).await?
    };
    match found {
        Some((kind, location)) if call.allows_every_account() || allows(call, &location) => {
            Ok((kind, location))
        }
        None if call.allows_every_account() => Err(SyncReportError::ChannelNotFound.into()),
        found => {
            let location = found.map(|(_, location)| location);
            let id = location.as_ref().map(|location| location.id);
            Err(refuse(call, id, location, started).await)
        }
    }
}

/// The providers whose accounts a list shows; `None` for all.
pub(super) fn provider_filter(providers: Choice<ProviderName>) -> Option<Vec<ProviderName>> {
    match providers {
        Choice::Every => None,
        Choice::Only(these) => Some(these.into_iter().collect()),
    }
}

/// Records in the audit that a call about an account was answered.
pub(super) fn record_answer(call: &Call, location: &AccountLocation) {
    call.write(Record {
        account: Some(location.id),
        workspace: Some(location.workspace),
        provider: Some(location.provider.clone()),
        ..call.record(Outcome::Answered)
    });
}

fn allows(call: &Call, location: &AccountLocation) -> bool {
    call.allows(&AccessRequest {
        workspace: Some(location.workspace),
        provider: Some(&location.provider),
        ..AccessRequest::method(call.method())
    })
}

async fn refuse(
    call: &Call,
    id: Option<AccountId>,
    location: Option<AccountLocation>,
    started: Instant,
) -> RpcError {
    let known = location.map(|location| (location.workspace, location.provider));
    let refused = call.refuse_account(id, known);
    pad_response_time(started).await;
    refused.into()
}
