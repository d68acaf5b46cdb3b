//! States of an account as items of a stream.

use futures::stream;
use latchkey_proto::token::{AccountState, WatchAccountResponse};
use tonic::Status;
use tonic::codegen::BoxStream;

use super::caller::Admitted;
use super::message;
use super::status::{of_dead, status};
use crate::engine::Watch;
use crate::snapshot::Snapshot;

/// Items until the watch ends; an error is the last one.
pub(super) fn stream(call: Admitted, watch: Watch) -> BoxStream<WatchAccountResponse> {
    Box::pin(stream::unfold(Some((call, watch)), |watched| async {
        let (call, mut watch) = watched?;
        let item = match watch.next().await? {
            Ok(snapshot) => item(&call, &snapshot, watch.serves(&snapshot)),
            Err(error) => Err(status(&error)),
        };
        let goes_on = item.is_ok().then_some((call, watch));
        Some((item, goes_on))
    }))
}

/// An item; a token is given as any other, and written down.
fn item(
    call: &Admitted,
    snapshot: &Snapshot,
    serves: bool,
) -> Result<WatchAccountResponse, Status> {
    let (state, reason) = if snapshot.erased {
        (AccountState::Disconnected, "")
    } else if snapshot.dead {
        (AccountState::ReauthRequired, of_dead(snapshot))
    } else {
        (AccountState::Active, "")
    };
    let token = match state {
        AccountState::Active if serves => message(snapshot),
        _ => None,
    };
    if token.is_some() {
        call.give(snapshot)?;
    }
    Ok(WatchAccountResponse {
        account_id: snapshot.account.to_string(),
        state: state.into(),
        version: snapshot.version,
        token,
        reason: reason.to_owned(),
    })
}
