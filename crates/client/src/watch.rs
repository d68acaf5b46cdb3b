//! Hears of changes as they happen: one stream of `WatchAccount` for each
//! account in use, over the connections that the calls go over.
//!
//! A stream only ever makes memory better. Where there is none – too many, not
//! allowed, service away – what is kept is confirmed by its age as it always is.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use latchkey_proto::token::{AccountState, WatchAccountRequest, WatchAccountResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status, Streaming};

use crate::cache::backoff_delay;
use crate::client::Inner;
use crate::request::MAX_MINIMUM;
use crate::status::token_error;
use crate::token::{Provenance, Token};
use crate::{Account, TokenError};

/// A stream must be open within this.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that ended well is opened again after this, and some random.
const REOPEN_AFTER: Duration = Duration::from_millis(500);
/// After a failure, at most.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// An account that nobody asked for while a stream lasted this long is not in
/// use: the stream is not opened again.
const IN_USE_WITHIN: Duration = Duration::from_mins(5);
/// A service that does not let this caller watch is asked again after this.
const REFUSED_FOR: Duration = Duration::from_mins(10);

/// Ends with its entry on the cache.
pub(crate) struct WatchHandle(AbortHandle);

impl WatchHandle {
    pub(crate) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How many streams there may be, and whether there may be any.
pub(crate) struct Watches {
    permits: Arc<Semaphore>,
    refused_until: Mutex<Option<Instant>>,
}

impl Watches {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            refused_until: Mutex::default(),
        }
    }

    /// A permit for one more stream.
    pub(crate) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let refused = self.refused_until();
        if refused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Told once: it is not an error to go without.
    fn refused(&self, status: &Status) {
        let before = self.refused_until().replace(Instant::now() + REFUSED_FOR);
        if before.is_none() {
            tracing::info!(
                code = ?status.code(),
                reason = status.message(),
                "accounts cannot be watched: what changes is noticed when tokens are confirmed"
            );
        }
    }

    fn refused_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches an account for as long as it is in use.
pub(crate) fn start(
    inner: &Arc<Inner>,
    account: Account,
    permit: OwnedSemaphorePermit,
) -> WatchHandle {
    // Weak: a client that is dropped takes its streams with it.
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
                    // It could be watched, and a new policy closes it.
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
        // The service keeps fresh what is watched: nothing that nobody uses.
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
            // A handle that several have by now.
            TokenError::InvalidRequest { .. } => return,
            error => {
                drop(client);
                failures += 1;
                let retry_info = error.retry_after().filter(|after| !after.is_zero());
                sleep(backoff_delay(failures, retry_info, MAX_BACKOFF, random)).await;
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
    // The first item tells what is; one that follows has just been made.
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
                // Takes this stream with it; the next token brings a new one,
                // so that what a slow replica still answers is put right too.
                client.forget(account);
            }
            _ => {}
        }
        asked_minimum = MAX_MINIMUM;
    }
    Ok(())
}
