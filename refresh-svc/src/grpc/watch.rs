//! Sends the states of an account as items of a stream.

use std::sync::Arc;

use futures::stream;
use latchkey_proto::timestamp;
use latchkey_proto::token::{AccountState, WatchAccountResponse};
use tokio::sync::watch::Receiver;
use tonic::Status;
use tonic::codegen::BoxStream;

use super::access_token::message;
use super::authorization::AuthorizedCall;
use super::caller_limits::CallerPermit;
use super::status::{of_dead, status};
use crate::engine::Watch;
use crate::snapshot::Snapshot;

/// Sends items until the watch ends or the policy no longer allows it. An error is the
/// last item.
pub(super) fn stream(
    call: AuthorizedCall,
    watch: Watch,
    permit: CallerPermit,
) -> BoxStream<WatchAccountResponse> {
    let watched = Watched {
        policy_changes: call.policy_changes(),
        call,
        watch,
        sent: None,
        _permit: permit,
    };
    Box::pin(stream::unfold(Some(watched), |watched| async {
        let mut watched = watched?;
        let item = watched.next().await?;
        let goes_on = item.is_ok().then_some(watched);
        Some((item, goes_on))
    }))
}

struct Watched {
    call: AuthorizedCall,
    watch: Watch,
    /// Snapshot of the last item.
    sent: Option<Arc<Snapshot>>,
    policy_changes: Receiver<()>,
    _permit: CallerPermit,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<WatchAccountResponse, Status>> {
        loop {
            tokio::select! {
                news = self.watch.next() => {
                    let snapshot = match news? {
                        Ok(snapshot) => snapshot,
                        Err(error) => return Some(Err(status(&error))),
                    };
                    let item = item(&self.call, &snapshot, self.watch.serves(&snapshot));
                    self.sent = Some(snapshot);
                    return Some(item);
                }
                // The sender lives as long as the call.
                Ok(()) = self.policy_changes.changed() => {
                    let allowed = self.sent.as_deref().map(|sent| self.call.recheck(sent));
                    if let Some(Err(refused)) = allowed {
                        return Some(Err(refused));
                    }
                }
            }
        }
    }
}

/// Builds an item. A token in it is checked and audited like any other.
fn item(
    call: &AuthorizedCall,
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
    match token {
        Some(_) => call.check_and_audit(snapshot)?,
        None => call.recheck(snapshot)?,
    }
    Ok(WatchAccountResponse {
        account_id: snapshot.account.to_string(),
        state: state.into(),
        version: snapshot.version,
        token,
        reason: reason.to_owned(),
        grant_expires_at: match state {
            AccountState::Active => snapshot.grant_expires_at().map(timestamp),
            _ => None,
        },
    })
}
