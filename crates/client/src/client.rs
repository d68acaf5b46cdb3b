//! The client.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::ScopeSet;
use latchkey_proto::token as proto;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::cache::{FetchJob, Lookup, Outcome, PendingFetch};
use crate::fetch;
use crate::freshness::{Needs, meets};
use crate::inner::Inner;
use crate::status::token_error;
use crate::watch;
use crate::{Account, Reason, Token, TokenError, TokenRequest};

/// Returns valid access tokens. Cheap to clone; create one per process.
#[derive(Clone)]
pub struct TokenClient {
    inner: Arc<Inner>,
}

impl TokenClient {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns a valid token, from memory if possible, else from the service. Waits and
    /// retries within the request's deadline.
    ///
    /// # Errors
    /// See [`TokenError`]: each variant states who must act.
    pub async fn access_token(
        &self,
        request: impl Into<TokenRequest>,
    ) -> Result<Token, TokenError> {
        let request = request.into();
        let settings = &self.inner.settings;
        let needs = Needs {
            min_remaining: request.min_remaining.unwrap_or(settings.min_remaining),
            minimum_is_explicit: request.min_remaining.is_some(),
            scopes: request.scopes,
            newer_than: None,
        };
        let within = request.within.unwrap_or(settings.within);
        self.obtain(&request.account, &needs, within).await
    }

    /// Returns a newer token after the provider's API answered 401 to this one. Any
    /// number of callers that report the same token cause one refresh.
    ///
    /// # Errors
    /// [`TokenError::StillRefused`] if the token has just replaced a refused one, else
    /// as [`access_token`](Self::access_token).
    pub async fn replace_after_401(&self, refused: &Token) -> Result<Token, TokenError> {
        let settings = &self.inner.settings;
        let needs = Needs {
            min_remaining: settings.min_remaining,
            minimum_is_explicit: false,
            scopes: ScopeSet::default(),
            newer_than: Some(refused.version()),
        };
        if refused.is_fresh_replacement(self.inner.clock.now(), settings.cool_down) {
            return Err(TokenError::StillRefused);
        }
        refused.refused();
        self.obtain(refused.asked_as(), &needs, settings.within)
            .await
    }

    /// Disconnects the account: revokes the grant at the provider if possible, erases it
    /// at the service and forgets it here. Returns `true` if the provider confirmed the
    /// revocation.
    ///
    /// # Errors
    /// As [`access_token`](Self::access_token); there are no retries.
    pub async fn revoke_account(&self, account: impl Into<Account>) -> Result<bool, TokenError> {
        let account = account.into();
        let request = proto::RevokeAccountRequest {
            account: Some(account.selector()),
        };
        let settings = &self.inner.settings;
        let traceparent = fetch::traceparent(settings);
        let answer = self.inner.replicas.call(|mut service| {
            let request = fetch::request(request.clone(), settings.within, traceparent.as_deref());
            async move { service.revoke_account(request).await }
        });
        let answer = timeout(settings.within, answer).await;
        self.forget(&account);
        match answer {
            Ok(Ok(answer)) => Ok(answer.revoked_at_provider),
            Ok(Err(status)) => Err(soon(token_error(&status))),
            Err(_) => Err(deadline_passed()),
        }
    }

    /// Removes the account's token from memory. For callers that receive
    /// `account.disconnected.v1` or `account.reauth_required.v1`.
    pub fn forget(&self, account: &Account) {
        self.inner.forget(account);
    }

    /// Number of accounts in memory, for a gauge.
    pub fn cached_accounts(&self) -> usize {
        self.inner.cache.len()
    }

    async fn obtain(
        &self,
        account: &Account,
        needs: &Needs,
        within: Duration,
    ) -> Result<Token, TokenError> {
        let deadline = Instant::now() + within;
        loop {
            let (pending, same) =
                match self
                    .inner
                    .cache
                    .lookup(account, needs, &self.inner.context())
                {
                    Lookup::Hit(token, ahead) => {
                        if let Some(job) = ahead {
                            self.spawn_refresh_ahead(job);
                        }
                        return Ok(token);
                    }
                    Lookup::BackingOff(error, until) => {
                        if let Some(token) = self.inner.still_valid(account, needs) {
                            return Ok(token);
                        }
                        let waiting_helps = error.retry_after().is_some() && until < deadline;
                        if !waiting_helps {
                            return Err(error);
                        }
                        sleep_until(until).await;
                        continue;
                    }
                    Lookup::InFlight(pending, same) => (pending, same),
                    Lookup::Miss(job) => {
                        let pending = job.pending.clone();
                        self.spawn_fetch(job);
                        (pending, true)
                    }
                };
            match self.wait_for(pending, account, needs, deadline).await {
                Some(Ok(token)) if same || meets(&token, needs, self.inner.clock.now()) => {
                    return Ok(token);
                }
                // The error has started a back-off: the next lookup decides.
                Some(Err(error)) if error.allows_cached_token() => {}
                Some(Err(error)) if same => return Err(error),
                // A fetch for other needs that does not satisfy this caller.
                Some(_) => {}
                None => {
                    if let Some(token) = self.inner.still_valid(account, needs) {
                        return Ok(token);
                    }
                }
            }
            if Instant::now() >= deadline {
                return Err(deadline_passed());
            }
        }
    }

    /// Waits for a fetch until the deadline, or only briefly if there is a token to fall
    /// back on. The fetch continues without its callers.
    async fn wait_for(
        &self,
        mut pending: PendingFetch,
        account: &Account,
        needs: &Needs,
        deadline: Instant,
    ) -> Option<Outcome> {
        let until = match self.inner.still_valid(account, needs) {
            Some(_) => deadline.min(Instant::now() + self.inner.settings.fallback_after),
            None => deadline,
        };
        let outcome = timeout_at(until, pending.outcome.wait_for(Option::is_some)).await;
        outcome.ok()?.ok()?.clone()
    }

    fn spawn_fetch(&self, job: FetchJob) {
        let inner = Arc::clone(&self.inner);
        let traceparent = fetch::traceparent(&inner.settings);
        tokio::spawn(async move { inner.fetch(job, traceparent).await });
    }

    fn spawn_refresh_ahead(&self, job: FetchJob) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let _permit = inner.ahead.acquire().await;
            inner.fetch(job, None).await;
        });
    }
}

impl Inner {
    async fn fetch(self: &Arc<Self>, job: FetchJob, traceparent: Option<String>) {
        let limit = self.settings.fetch_timeout;
        let pending = fetch::fetch(&self.replicas, &job, limit, traceparent, &*self.clock);
        let outcome = timeout(limit, pending)
            .await
            .unwrap_or_else(|_| Err(deadline_passed()));
        if let Err(error) = &outcome {
            tracing::debug!(account = %job.account, %error, "no token from the service");
        }
        let account = job.account.clone();
        self.cache
            .complete(job, outcome, self.clock.now(), self.jitter);
        if let Some(permit) = self.watches.permit() {
            self.cache
                .watch(&account, || watch::start(self, account.clone(), permit));
        }
    }
}

impl std::fmt::Debug for TokenClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenClient")
            .field("replicas", &self.inner.replicas)
            .field("cached_accounts", &self.cached_accounts())
            .finish_non_exhaustive()
    }
}

/// Adds a delay if the service gave none.
fn soon(mut error: TokenError) -> TokenError {
    if let TokenError::RetryLater { after, .. } = &mut error {
        *after = (*after).max(Duration::from_secs(1));
    }
    error
}

/// The refresh continues: its result will be in memory soon.
fn deadline_passed() -> TokenError {
    TokenError::RetryLater {
        reason: Reason::DeadlinePassed,
        after: Duration::from_secs(1),
    }
}
