//! Calls of refresh-svc.

use std::sync::PoisonError;
use std::time::Duration;

use devstack::walkthrough::{selector, token_request};
use futures::stream::{self, StreamExt as _};
use latchkey_proto::token::{AccessToken, RefreshAccessTokenRequest, RevokeAccountRequest};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Driver, GivenToken};
use crate::history::{Answer, Moment, Operation, Person, Provider};

/// Time limit of a call.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Minimum remaining life of a token.
const MIN_REMAINING: Duration = Duration::from_secs(2);
/// The same for a last token, which the provider judges after the call, on a machine that may be slow.
const LAST_MIN_REMAINING: Duration = Duration::from_secs(6);
/// How long the last call for an account is repeated while it may succeed later.
const LAST_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a last token that the provider refuses is reported: a refresh can be forced once in a
/// minute.
const REPORT_TIMEOUT: Duration = Duration::from_mins(2);
/// Last calls at once.
const LAST_AT_ONCE: usize = 16;
/// Pause between two of them for one account.
const PAUSE: Duration = Duration::from_millis(500);

/// Why there is no token, and whether a later call may get one.
struct Refusal {
    answer: Answer,
    is_temporary: bool,
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let code = status.code();
        let reason = status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default();
        let reason = format!("{code:?} {reason}");
        Self {
            // Without a reason the answer is the client's own.
            answer: match code {
                Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => {
                    Answer::Unknown { error: reason }
                }
                _ => Answer::Refused { reason },
            },
            is_temporary: !matches!(code, Code::NotFound | Code::FailedPrecondition),
        }
    }

    fn late() -> Self {
        Self {
            answer: Answer::Unknown {
                error: format!("no answer after {TIMEOUT:?}"),
            },
            is_temporary: true,
        }
    }
}

impl Driver {
    /// Asks for a token. Returns its version.
    pub(super) async fn token(&self, person: &Person, account: Uuid) -> Option<i64> {
        let call = self.asked(person, account);
        self.answered(call, self.get_token(person, account, MIN_REMAINING).await)
    }

    /// Reports a token as refused, so that it is refreshed.
    pub(super) async fn force_refresh(&self, person: &Person, account: Uuid, version: i64) {
        let call = self.asked(person, account);
        let result = self.refreshed(person, account, version).await;
        self.answered(call, result);
    }

    /// Revokes the grant of an account.
    pub(super) async fn revoke(&self, person: &Person, account: Uuid) {
        let operation = Operation::Disconnect {
            person: person.clone(),
            account,
        };
        let call = self.history.asked(Moment::now(), operation);
        let request = RevokeAccountRequest {
            account: Some(selector(account)),
        };
        let mut client = self.tokens.clone();
        let answer = match timeout(TIMEOUT, client.revoke_account(request)).await {
            Ok(Ok(_)) => Answer::Done,
            Ok(Err(status)) => Refusal::of(&status).answer,
            Err(_) => Refusal::late().answer,
        };
        self.history.answered(call, answer);
    }

    /// Asks for a token of every account, when every fault has ended, and asks the provider whether
    /// it accepts the token. A caller reports a token that is refused; `reports` says whether this one
    /// does.
    ///
    /// # Errors
    /// The accounts cannot be read.
    pub async fn ask_last(&self, reports: bool) -> anyhow::Result<()> {
        self.accounts.look(true).await?;
        stream::iter(self.accounts.all())
            .for_each_concurrent(LAST_AT_ONCE, |(person, account)| async move {
                self.ask_last_of(&person, account, reports).await;
            })
            .await;
        Ok(())
    }

    async fn ask_last_of(&self, person: &Person, account: Uuid, reports: bool) {
        let begun = Instant::now();
        let mut refused = None;
        loop {
            let asked = Moment::now();
            let result = match refused {
                Some(version) => self.refreshed(person, account, version).await,
                None => self.get_token(person, account, LAST_MIN_REMAINING).await,
            };
            let is_temporary = result.as_ref().is_err_and(|refusal| refusal.is_temporary);
            if is_temporary && begun.elapsed() < LAST_TIMEOUT {
                sleep(PAUSE).await;
                continue;
            }
            let answer = match result {
                Ok(token) => {
                    let accepted = self.is_accepted(person, &token).await;
                    if reports && accepted == Some(false) && begun.elapsed() < REPORT_TIMEOUT {
                        refused = Some(token.version);
                        sleep(PAUSE).await;
                        continue;
                    }
                    Answer::Token {
                        version: token.version,
                        accepted,
                    }
                }
                Err(refusal) => refusal.answer,
            };
            let operation = Operation::Token {
                person: person.clone(),
                account,
                last: true,
            };
            let call = self.history.asked(asked, operation);
            self.history.answered(call, answer);
            return;
        }
    }

    /// Returns whether the provider's API accepts a token.
    async fn is_accepted(&self, person: &Person, token: &AccessToken) -> Option<bool> {
        let flavour = match person.provider {
            Provider::Strict => "oidc",
            Provider::Google => "google",
        };
        let request = self
            .http
            .get(format!("{}/{flavour}/userinfo", self.provider_url))
            .bearer_auth(&token.access_token);
        let answer = request.send().await.ok()?;
        Some(answer.status().is_success())
    }

    async fn get_token(
        &self,
        person: &Person,
        account: Uuid,
        min_remaining: Duration,
    ) -> Result<AccessToken, Refusal> {
        let asked = Moment::now();
        let mut client = self.tokens.clone();
        let request = token_request(account, min_remaining);
        let result = match timeout(TIMEOUT, client.get_access_token(request)).await {
            Ok(Ok(answer)) => answer.into_inner().token.ok_or_else(Refusal::late),
            Ok(Err(status)) => Err(Refusal::of(&status)),
            Err(_) => Err(Refusal::late()),
        };
        self.keep(person, asked, &result);
        result
    }

    /// Reports a version as refused.
    async fn refreshed(
        &self,
        person: &Person,
        account: Uuid,
        version: i64,
    ) -> Result<AccessToken, Refusal> {
        let asked = Moment::now();
        let request = RefreshAccessTokenRequest {
            account: Some(selector(account)),
            refused_version: version,
            claims: String::new(),
        };
        let mut client = self.tokens.clone();
        let result = match timeout(TIMEOUT, client.refresh_access_token(request)).await {
            Ok(Ok(answer)) => answer.into_inner().token.ok_or_else(Refusal::late),
            Ok(Err(status)) => Err(Refusal::of(&status)),
            Err(_) => Err(Refusal::late()),
        };
        self.keep(person, asked, &result);
        result
    }

    fn keep(&self, person: &Person, asked: Moment, result: &Result<AccessToken, Refusal>) {
        let Ok(token) = result else { return };
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.push(GivenToken {
            token: token.access_token.clone(),
            person: person.name.clone(),
            asked,
            answered: Moment::now(),
        });
    }

    fn asked(&self, person: &Person, account: Uuid) -> u64 {
        let operation = Operation::Token {
            person: person.clone(),
            account,
            last: false,
        };
        self.history.asked(Moment::now(), operation)
    }

    fn answered(&self, call: u64, result: Result<AccessToken, Refusal>) -> Option<i64> {
        let version = result.as_ref().ok().map(|token| token.version);
        let answer = match result {
            Ok(token) => Answer::Token {
                version: token.version,
                accepted: None,
            },
            Err(refusal) => refusal.answer,
        };
        self.history.answered(call, answer);
        version
    }
}
