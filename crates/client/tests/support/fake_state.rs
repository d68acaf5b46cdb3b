//! State of the fake service that all replicas share and that tests set and read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_domain::{AccountId, Clock as _, ManualClock};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::{AccessToken, AccountSelector, GetAccessTokenRequest};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::fake_watches::FakeWatches;

/// State that all replicas share.
pub struct FakeState {
    clock: Arc<ManualClock>,
    tokens: Mutex<HashMap<String, AccessToken>>,
    next_failures: Mutex<VecDeque<Status>>,
    permanent_failure: Mutex<Option<Status>>,
    life: Mutex<Duration>,
    delay: Mutex<Duration>,
    scopes: Mutex<Vec<String>>,
    /// Requests of GetAccessToken with their `traceparent`.
    pub requests: Mutex<Vec<(GetAccessTokenRequest, Option<String>)>>,
    gets: AtomicUsize,
    refreshes: AtomicUsize,
    issued: AtomicUsize,
    pub watches: FakeWatches,
}

impl FakeState {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            tokens: Mutex::default(),
            next_failures: Mutex::default(),
            permanent_failure: Mutex::default(),
            life: Mutex::new(Duration::from_hours(1)),
            delay: Mutex::default(),
            scopes: Mutex::new(vec!["mail.read".to_owned()]),
            requests: Mutex::default(),
            gets: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            issued: AtomicUsize::new(0),
            watches: FakeWatches::default(),
        }
    }

    /// Answers the next call with this status.
    pub fn fail_once(&self, status: Status) {
        self.next_failures.lock().unwrap().push_back(status);
    }

    /// Answers every call with this status until it is changed.
    pub fn fail_always(&self, status: Option<Status>) {
        *self.permanent_failure.lock().unwrap() = status;
    }

    /// Life of tokens issued from now on.
    pub fn life(&self, seconds: u64) {
        *self.life.lock().unwrap() = Duration::from_secs(seconds);
    }

    /// Delay of every answer.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Scopes of tokens issued from now on.
    pub fn grants(&self, scopes: &[&str]) {
        *self.scopes.lock().unwrap() = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// Changes the version of a token, like a replica with an outdated cache.
    pub fn set_version(&self, account: AccountId, version: i64) {
        let mut tokens = self.tokens.lock().unwrap();
        tokens.get_mut(&account.to_string()).unwrap().version = version;
    }

    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    pub fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }

    /// Number of issued tokens; each would be a request at the provider.
    pub fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    pub fn count_get(&self) {
        self.gets.fetch_add(1, Ordering::SeqCst);
    }

    pub fn count_refresh(&self) {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
    }

    /// The current token.
    pub fn present(&self, key: &str) -> Option<AccessToken> {
        self.tokens.lock().unwrap().get(key).cloned()
    }

    pub async fn scripted_failure(&self) -> Result<(), Status> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if let Some(status) = self.next_failures.lock().unwrap().pop_front() {
            return Err(status);
        }
        self.permanent_failure
            .lock()
            .unwrap()
            .clone()
            .map_or(Ok(()), Err)
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
        self.issued.fetch_add(1, Ordering::SeqCst);
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
        self.watches.notify();
        token
    }
}

/// Key of an account in the state.
pub fn key(account: Option<AccountSelector>) -> String {
    match account.unwrap().selector.unwrap() {
        Selector::AccountId(id) => id,
        Selector::Handle(handle) => handle.handle,
    }
}

/// A status as refresh-svc creates them.
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
