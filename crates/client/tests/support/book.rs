//! What all replicas of the double know, and what a test sees and sets.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_domain::{AccountId, Clock as _, ManualClock};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccessToken, AccountSelector, GetAccessTokenRequest};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::watched::Watched;

/// What all replicas know, and what a test sees and sets.
pub struct Book {
    clock: Arc<ManualClock>,
    tokens: Mutex<HashMap<String, AccessToken>>,
    scripted: Mutex<VecDeque<Status>>,
    standing: Mutex<Option<Status>>,
    life: Mutex<Duration>,
    delay: Mutex<Duration>,
    scopes: Mutex<Vec<String>>,
    /// Requests of GetAccessToken as they came, with their `traceparent`.
    pub seen: Mutex<Vec<(GetAccessTokenRequest, Option<String>)>>,
    gets: AtomicUsize,
    refreshes: AtomicUsize,
    minted: AtomicUsize,
    pub watched: Watched,
}

impl Book {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            tokens: Mutex::default(),
            scripted: Mutex::default(),
            standing: Mutex::default(),
            life: Mutex::new(Duration::from_hours(1)),
            delay: Mutex::default(),
            scopes: Mutex::new(vec!["mail.read".to_owned()]),
            seen: Mutex::default(),
            gets: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            minted: AtomicUsize::new(0),
            watched: Watched::default(),
        }
    }

    /// Answers this once, before anything else.
    pub fn once(&self, status: Status) {
        self.scripted.lock().unwrap().push_back(status);
    }

    /// Answers this until told otherwise.
    pub fn always(&self, status: Option<Status>) {
        *self.standing.lock().unwrap() = status;
    }

    /// Life of tokens that are made from now on.
    pub fn life(&self, seconds: u64) {
        *self.life.lock().unwrap() = Duration::from_secs(seconds);
    }

    /// Answers only after this.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// What the person grants from now on.
    pub fn grants(&self, scopes: &[&str]) {
        *self.scopes.lock().unwrap() = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// Goes back to an older token, like a replica whose cache lags.
    pub fn lag(&self, account: AccountId, version: i64) {
        let mut tokens = self.tokens.lock().unwrap();
        tokens.get_mut(&account.to_string()).unwrap().version = version;
    }

    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    pub fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }

    /// Tokens made: what would be requests at the provider.
    pub fn minted(&self) -> usize {
        self.minted.load(Ordering::SeqCst)
    }

    pub fn count_get(&self) {
        self.gets.fetch_add(1, Ordering::SeqCst);
    }

    pub fn count_refresh(&self) {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
    }

    /// The token that there is.
    pub fn present(&self, key: &str) -> Option<AccessToken> {
        self.tokens.lock().unwrap().get(key).cloned()
    }

    pub async fn gate(&self) -> Result<(), Status> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if let Some(status) = self.scripted.lock().unwrap().pop_front() {
            return Err(status);
        }
        self.standing.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    pub fn token(
        &self,
        account: Option<AccountSelector>,
        will_do: impl Fn(&AccessToken, Duration) -> bool,
    ) -> AccessToken {
        let key = key(account);
        let now = self.clock.now();
        let mut tokens = self.tokens.lock().unwrap();
        if let Some(token) = tokens.get(&key) {
            let left = token.expires_at.unwrap().seconds - now.unix_timestamp();
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            if will_do(token, left) {
                return token.clone();
            }
        }
        self.minted.fetch_add(1, Ordering::SeqCst);
        let version = tokens.get(&key).map_or(1, |token| token.version + 1);
        let expires_at = now + *self.life.lock().unwrap();
        let token = AccessToken {
            access_token: format!("secret-{version}"),
            token_type: "Bearer".to_owned(),
            expires_at: Some(prost_types::Timestamp {
                seconds: expires_at.unix_timestamp(),
                nanos: 0,
            }),
            granted_scopes: self.scopes.lock().unwrap().clone(),
            account_id: key
                .parse::<AccountId>()
                .unwrap_or_else(|_| AccountId::generate())
                .to_string(),
            version,
            ..AccessToken::default()
        };
        tokens.insert(key, token.clone());
        drop(tokens);
        self.watched.ring();
        token
    }
}

/// What an account is kept under.
pub fn key(account: Option<AccountSelector>) -> String {
    match account.unwrap().selector.unwrap() {
        Selector::AccountId(id) => id,
        Selector::Handle(handle) => handle.handle,
    }
}

/// A status as refresh-svc makes them.
pub fn status(
    code: Code,
    reason: &str,
    retry: Option<Duration>,
    metadata: &[(&str, &str)],
) -> Status {
    let metadata = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect::<HashMap<_, _>>();
    let mut details = ErrorDetails::with_error_info(reason, "latchkey", metadata);
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    Status::with_error_details(code, format!("words about {reason}"), details)
}
