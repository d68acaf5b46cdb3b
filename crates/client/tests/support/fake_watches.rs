//! WatchAccount of the fake service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use latchkey_domain::AccountId;
use latchkey_proto::token::{AccountState, WatchAccountResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::codegen::BoxStream;

use super::FakeState;

/// States of accounts and their watchers.
#[derive(Default)]
pub struct FakeWatches {
    states: Mutex<HashMap<String, AccountState>>,
    refusal: Mutex<Option<Status>>,
    final_status: Mutex<Option<Status>>,
    requested: AtomicUsize,
    watchers: Arc<()>,
    /// Notified of every change; the value is the generation of the streams.
    changes: watch::Sender<usize>,
}

impl FakeWatches {
    pub fn notify(&self) {
        self.changes.send_modify(|_| ());
    }

    /// Sets an account to a state without tokens.
    pub fn becomes(&self, account: AccountId, state: AccountState) {
        let mut states = self.states.lock().unwrap();
        states.insert(account.to_string(), state);
        drop(states);
        self.notify();
    }

    /// Ends all streams, like a service that stops.
    pub fn end(&self) {
        self.changes.send_modify(|generation| *generation += 1);
    }

    /// Ends all streams with an error, like a service whose policy changed.
    pub fn end_with(&self, status: Status) {
        *self.final_status.lock().unwrap() = Some(status);
        self.end();
    }

    /// Refuses further watches with this status until it is changed.
    pub fn refuse(&self, status: Option<Status>) {
        *self.refusal.lock().unwrap() = status;
    }

    /// Number of attempts to watch.
    pub fn requested(&self) -> usize {
        self.requested.load(Ordering::SeqCst)
    }

    /// Number of open streams.
    pub fn open(&self) -> usize {
        Arc::strong_count(&self.watchers) - 1
    }
}

pub fn watch(
    state: Arc<FakeState>,
    account: String,
) -> Result<BoxStream<WatchAccountResponse>, Status> {
    state.watches.requested.fetch_add(1, Ordering::SeqCst);
    if let Some(status) = state.watches.refusal.lock().unwrap().clone() {
        return Err(status);
    }
    let watcher = Arc::clone(&state.watches.watchers);
    let (items, stream) = mpsc::channel(8);
    tokio::spawn(async move {
        send_changes(&state, &account, items).await;
        drop(watcher);
    });
    Ok(Box::pin(ReceiverStream::new(stream)))
}

async fn send_changes(
    state: &FakeState,
    account: &str,
    items: mpsc::Sender<Result<WatchAccountResponse, Status>>,
) {
    let mut changes = state.watches.changes.subscribe();
    let generation = *changes.borrow_and_update();
    let mut sent = None;
    while *changes.borrow_and_update() == generation {
        let item = item(state, account);
        if sent.as_ref() != Some(&item) {
            sent = Some(item.clone());
            if items.send(Ok(item)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = items.closed() => return,
        }
    }
    let final_status = state.watches.final_status.lock().unwrap().clone();
    if let Some(status) = final_status {
        // The watcher may have left.
        let _ = items.send(Err(status)).await;
    }
}

fn item(fake: &FakeState, account: &str) -> WatchAccountResponse {
    let states = fake.watches.states.lock().unwrap();
    let state = states.get(account).copied();
    let state = state.unwrap_or(AccountState::Active);
    let token = fake
        .present(account)
        .filter(|_| state == AccountState::Active);
    WatchAccountResponse {
        grant_expires_at: None,
        account_id: account.to_owned(),
        state: state.into(),
        version: token.as_ref().map_or(0, |token| token.version),
        token,
        reason: String::new(),
    }
}
