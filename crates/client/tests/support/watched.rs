//! WatchAccount of the double.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use latchkey_domain::AccountId;
use latchkey_proto::token::{AccountState, WatchAccountResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::codegen::BoxStream;

use super::Book;

/// States of accounts, and who watches them.
#[derive(Default)]
pub struct Watched {
    states: Mutex<HashMap<String, AccountState>>,
    refusal: Mutex<Option<Status>>,
    last_word: Mutex<Option<Status>>,
    asked: AtomicUsize,
    watchers: Arc<()>,
    /// Rung at every change; the number is that of the streams' generation.
    bell: watch::Sender<usize>,
}

impl Watched {
    pub fn ring(&self) {
        self.bell.send_modify(|_| ());
    }

    /// An account that has no tokens any more.
    pub fn becomes(&self, account: AccountId, state: AccountState) {
        let mut states = self.states.lock().unwrap();
        states.insert(account.to_string(), state);
        drop(states);
        self.ring();
    }

    /// Ends all streams, as a service does that stops.
    pub fn end(&self) {
        self.bell.send_modify(|generation| *generation += 1);
    }

    /// Ends all streams with an error, as a service does whose policy changed.
    pub fn end_with(&self, status: Status) {
        *self.last_word.lock().unwrap() = Some(status);
        self.end();
    }

    /// Answers this to whoever wants to watch, until told otherwise.
    pub fn refuse(&self, status: Option<Status>) {
        *self.refusal.lock().unwrap() = status;
    }

    /// How often somebody wanted to watch.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Streams that are open.
    pub fn open(&self) -> usize {
        Arc::strong_count(&self.watchers) - 1
    }
}

pub fn watch(book: Arc<Book>, account: String) -> Result<BoxStream<WatchAccountResponse>, Status> {
    book.watched.asked.fetch_add(1, Ordering::SeqCst);
    if let Some(status) = book.watched.refusal.lock().unwrap().clone() {
        return Err(status);
    }
    let watcher = Arc::clone(&book.watched.watchers);
    let (items, stream) = mpsc::channel(8);
    tokio::spawn(async move {
        tell(&book, &account, items).await;
        drop(watcher);
    });
    Ok(Box::pin(ReceiverStream::new(stream)))
}

async fn tell(
    book: &Book,
    account: &str,
    items: mpsc::Sender<Result<WatchAccountResponse, Status>>,
) {
    let mut bell = book.watched.bell.subscribe();
    let generation = *bell.borrow_and_update();
    let mut told = None;
    while *bell.borrow_and_update() == generation {
        let item = item(book, account);
        if told.as_ref() != Some(&item) {
            told = Some(item.clone());
            if items.send(Ok(item)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = items.closed() => return,
        }
    }
    let last_word = book.watched.last_word.lock().unwrap().clone();
    if let Some(status) = last_word {
        // Whoever hung up meanwhile does not hear it.
        let _ = items.send(Err(status)).await;
    }
}

fn item(book: &Book, account: &str) -> WatchAccountResponse {
    let states = book.watched.states.lock().unwrap();
    let state = states.get(account).copied();
    let state = state.unwrap_or(AccountState::Active);
    let token = book
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
