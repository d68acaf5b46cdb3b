//! Watches accounts in use: one `WatchAccount` stream per account, over the connections
//! of the calls.
//!
//! A stream only improves the cache. Without one (limit reached, not allowed, or service
//! down), cached tokens are revalidated by their age as usual.

mod handle;

use std::sync::{Arc, Weak};
use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_proto::token::{AccountState, WatchAccountRequest, WatchAccountResponse};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status, Streaming};

use crate::cache::backoff_delay;
use crate::inner::Inner;
use crate::request::MAX_MINIMUM;
use crate::status::token_error;
use crate::token::{Provenance, Token};
use crate::{Account, TokenError};

pub(crate) use handle::{WatchHandle, Watches};

/// Deadline for opening a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that ended normally is opened again after this time plus jitter.
const REOPEN_AFTER: Duration = Duration::from_millis(500);
/// Between two attempts to watch, if the service sends no RetryInfo.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30))
    .unwrap()
    .lengthened_by(50);
/// An account that was not requested while a stream lasted this long is not in use: the
/// stream is not opened again.
const IN_USE_WITHIN: Duration = Duration::from_mins(5);

/// Watches an account for as long as it is in use.
pub(crate) fn start(
    inner: &Arc<Inner>,
    account: Account,
    permit: OwnedSemaphorePermit,
) -> WatchHandle {
    // Weak: dropping the client ends its streams.
    let inner = Arc::downgrade(inner);
    let task = tokio::spawn(async move {
        let _permit = permit;
        run(inner, account).await;
    });
    WatchHandle(task.abort_handle())
}

async fn run(inner: Weak<Inner>, account: Account) {
    let mut failures = 0;
    let mut uses_before = None;
    loop {
        let Some(client) = inner.upgrade() else {
            return;
        };
        let uses = client.cache.uses(&account);
        if uses.is_none() || uses == uses_before {
            return;
        }
        let jitter = client.jitter;
        let opened = open(&client, &account).await;
        drop(client);
        let opened_at = Instant::now();
        let ended = match opened {
            Ok(stream) => {
                failures = 0;
                match listen(&inner, &account, stream).await {
                    // The stream was open, and a new policy refuses it.
                    Err(status) if status.code() == Code::PermissionDenied => {
                        if let Some(client) = inner.upgrade() {
                            client.forget(&account);
                        }
                        return;
                    }
                    ended => ended,
                }
            }
            Err(status) => Err(status),
        };
        // The service keeps watched accounts fresh, so unused ones are not watched.
        uses_before = uses.filter(|_| opened_at.elapsed() >= IN_USE_WITHIN);
        let random = jitter.fraction(&(&account, uses, failures));
        let Err(status) = ended else {
            sleep(REOPEN_AFTER.mul_f64(1.0 + random)).await;
            continue;
        };
        let Some(client) = inner.upgrade() else {
            return;
        };
        if is_watch_refusal(status.code()) {
            return client.watches.refused(&status);
        }
        match token_error(&status) {
            TokenError::NotFound | TokenError::SignInAgain { .. } => {
                return client.forget(&account);
            }
            // Several accounts have the handle by now.
            TokenError::InvalidRequest { .. } => return,
            error => {
                drop(client);
                failures += 1;
                sleep(backoff_delay(failures, &error, BACKOFF, random)).await;
            }
        }
    }
}

/// The policy does not allow it, or the service is older than the method.
fn is_watch_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    )
}

async fn open(
    client: &Inner,
    account: &Account,
) -> Result<Streaming<WatchAccountResponse>, Status> {
    let opening = client.replicas.call(|mut service| {
        let request = WatchAccountRequest {
            account: Some(account.selector()),
        };
        async move { service.watch_account(request).await }
    });
    timeout(OPEN_TIMEOUT, opening)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no stream")))
}

async fn listen(
    inner: &Weak<Inner>,
    account: &Account,
    mut stream: Streaming<WatchAccountResponse>,
) -> Result<(), Status> {
    // The first item is the current token; later ones were just issued.
    let mut asked_minimum = Duration::ZERO;
    while let Some(item) = stream.message().await? {
        let Some(client) = inner.upgrade() else {
            return Ok(());
        };
        match (item.state(), item.token) {
            (AccountState::Active, Some(token)) => {
                let now = client.clock.now();
                client
                    .cache
                    .receive(account, &client.context(), |replacement| {
                        let provenance = Provenance {
                            asked_as: account.clone(),
                            asked_minimum,
                            replacement,
                            received_at: now,
                        };
                        Token::from_answer(Some(token), provenance).ok()
                    });
            }
            (AccountState::ReauthRequired | AccountState::Disconnected, _) => {
                // This also ends the stream. The next token starts a new one, so that
                // tokens which an outdated replica still returns are removed too.
                client.forget(account);
            }
            _ => {}
        }
        asked_minimum = MAX_MINIMUM;
    }
    Ok(())
}
