//! What a person and a calling service do with the stack, and the responses that they get.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_proto::token::RefreshAccessTokenRequest;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use url::Url;
use uuid::Uuid;

use crate::Stack;
use crate::browser::{Browser, Page};
use crate::polling;
use crate::walkthrough::{
    Account, Token, account_of, authorize_address, revoke_account, selector, token_request,
};

/// Time limit for everything that another process has to do.
pub(super) const TIMEOUT: Duration = Duration::from_mins(2);

/// The sign-in pages of a provider's server.
pub(super) trait SignInPages {
    /// Signs the person in from the authorization URL on, and returns the response whose
    /// redirect target satisfies `arrived`.
    async fn complete(
        &self,
        browser: &mut Browser,
        authorize: &Url,
        login: &str,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Page>;
}

/// What a person saw until the browser was back in the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Journey {
    /// Forms of the provider.
    pub forms: usize,
    /// Authorization requests.
    pub requests: usize,
}

/// A client of the stack for the people and callers of one provider.
pub(super) struct StackClient<'a> {
    /// The development stack.
    pub stack: &'a Stack,
    provider: &'static str,
    http: reqwest::Client,
}

impl<'a> StackClient<'a> {
    pub(super) fn new(stack: &'a Stack, provider: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            stack,
            provider,
            http: client()?,
        })
    }

    /// Returns the name of the provider.
    pub(super) fn provider(&self) -> &'static str {
        self.provider
    }

    /// Returns a client for requests without a browser.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Signs a person in with a new browser and returns their account once it exists.
    pub(super) async fn sign_in(
        &self,
        pages: &impl SignInPages,
        login: &str,
    ) -> anyhow::Result<Account> {
        self.sign_in_to_app(pages, login).await?;
        self.account(login).await
    }

    /// Waits for the person's account.
    pub(super) async fn account(&self, login: &str) -> anyhow::Result<Account> {
        let handle = address(login);
        eventually(&format!("an account of {handle}"), async || {
            let mut accounts = self.accounts(login).await?;
            anyhow::ensure!(accounts.len() <= 1, "{} accounts", accounts.len());
            Ok(accounts.pop())
        })
        .await
    }

    /// Returns every account with the person's address.
    pub(super) async fn accounts(&self, login: &str) -> anyhow::Result<Vec<Account>> {
        Ok(account_of(self.stack.pool(), self.provider, &address(login)).await?)
    }

    /// Signs a person in with a new browser until it is redirected to the app.
    pub(super) async fn sign_in_to_app(
        &self,
        pages: &impl SignInPages,
        login: &str,
    ) -> anyhow::Result<()> {
        let path = format!("/auth/oidc/{}", self.provider);
        let mut browser = Browser::new()?;
        let authorize = authorize_address(&mut browser, self.stack, &path).await?;
        self.complete(&mut browser, pages, login, authorize).await?;
        Ok(())
    }

    /// Goes on from the authorization URL until the browser is redirected to the app.
    pub(super) async fn complete(
        &self,
        browser: &mut Browser,
        pages: &impl SignInPages,
        login: &str,
        authorize: Url,
    ) -> anyhow::Result<Journey> {
        let app = self.stack.public_url();
        let forms = browser.submitted();
        let mut next = authorize;
        // auth-svc requests once more what the first request left out, or consent.
        for requests in 1..=2 {
            let back = pages
                .complete(browser, &next, login, |url| url.as_str().starts_with(app))
                .await?;
            let landing = browser.get(back.redirect_target()?.clone()).await?;
            let Some(sent) = &landing.location else {
                anyhow::bail!(
                    "the sign-in was refused with {}: {}",
                    landing.status,
                    text_of_page(&landing.body)
                );
            };
            if sent.as_str().starts_with(app) {
                let forms = browser.submitted() - forms;
                return Ok(Journey { forms, requests });
            }
            next = sent.clone();
        }
        anyhow::bail!("the browser was redirected too often, at last to {next}")
    }

    /// Returns the session at the provider (`sid`) in which the person's newest session began.
    pub(super) async fn provider_session(&self, login: &str) -> anyhow::Result<String> {
        let session: Option<String> = sqlx::query_scalar(
            "SELECT s.provider_session FROM auth.session s
             JOIN auth.identity i ON i.user_id = s.user_id
             WHERE i.provider = $1 AND s.provider = $1 AND i.email = $2
             ORDER BY s.created_at DESC LIMIT 1",
        )
        .bind(self.provider)
        .bind(address(login))
        .fetch_one(self.stack.pool())
        .await?;
        session.context("the ID token had no sid")
    }

    async fn tokens(&self) -> anyhow::Result<TokenServiceClient<Channel>> {
        self.stack.tokens(0).await
    }

    /// Requests a token as a caller, and returns it or the refusal.
    pub(super) async fn token(&self, account: Uuid) -> anyhow::Result<Result<Token, Refusal>> {
        let request = token_request(account, Duration::from_secs(1));
        let answer = self.tokens().await?.get_access_token(request).await;
        token_or_refusal(answer.map(|answer| answer.into_inner().token))
    }

    /// Requests the same token from several callers at once.
    pub(super) async fn tokens_at_once(
        &self,
        account: Uuid,
        callers: usize,
    ) -> anyhow::Result<Vec<Token>> {
        let client = self.tokens().await?;
        let calls = (0..callers).map(|_| {
            let mut client = client.clone();
            async move {
                let request = token_request(account, Duration::from_secs(1));
                let answer = client.get_access_token(request).await;
                token_or_refusal(answer.map(|answer| answer.into_inner().token))?
                    .map_err(anyhow::Error::from)
            }
        });
        futures::future::try_join_all(calls).await
    }

    /// Requests tokens of an account again and again until `stop` is set.
    pub(super) async fn tokens_until(
        &self,
        account: Uuid,
        stop: &AtomicBool,
    ) -> anyhow::Result<Requested> {
        let mut client = self.tokens().await?;
        let mut requested = Requested::default();
        while !stop.load(Ordering::Relaxed) {
            let request = token_request(account, Duration::from_secs(1));
            let answer = client.get_access_token(request).await;
            match token_or_refusal(answer.map(|answer| answer.into_inner().token))? {
                Ok(token) => {
                    requested.answers += 1;
                    requested.versions.insert(token.version);
                }
                Err(refusal) => requested.refusals.push(refusal.reason),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(requested)
    }

    /// Requests a new token as after a 401 of the provider's API, and returns it or the
    /// refusal.
    pub(super) async fn refresh(&self, account: Uuid) -> anyhow::Result<Result<Token, Refusal>> {
        // Callers can force one refresh of an account per minute, and a failure delays the next
        // refresh. Both limits are tested elsewhere and lifted here.
        sqlx::query(
            "UPDATE vault.credential SET forced_at = NULL, retry_after = NULL WHERE account_id = $1",
        )
        .bind(account)
        .execute(self.stack.pool())
        .await?;
        let refused_version: i64 =
            sqlx::query_scalar("SELECT version FROM vault.credential WHERE account_id = $1")
                .bind(account)
                .fetch_one(self.stack.pool())
                .await?;
        let request = RefreshAccessTokenRequest {
            account: Some(selector(account)),
            refused_version,
            claims: String::new(),
        };
        let answer = self.tokens().await?.refresh_access_token(request).await;
        token_or_refusal(answer.map(|answer| answer.into_inner().token))
    }

    /// Refreshes until the provider serves the grant again.
    pub(super) async fn refreshed_again(&self, account: Uuid) -> anyhow::Result<Token> {
        let begun = Instant::now();
        loop {
            match self.refresh(account).await? {
                Ok(token) => return Ok(token),
                Err(refusal) => anyhow::ensure!(
                    begun.elapsed() < TIMEOUT,
                    "the refresh is still refused: {refusal}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Returns `true` if Latchkey has marked the grant as dead.
    pub(super) async fn is_dead(&self, account: Uuid) -> anyhow::Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT auth_failed_at IS NOT NULL FROM vault.credential WHERE account_id = $1",
        )
        .bind(account)
        .fetch_one(self.stack.pool())
        .await?)
    }

    /// Returns the stored refresh token, sealed.
    pub(super) async fn sealed(&self, account: Uuid) -> anyhow::Result<Vec<u8>> {
        Ok(sqlx::query_scalar(
            "SELECT sealed_refresh_token FROM vault.credential WHERE account_id = $1",
        )
        .bind(account)
        .fetch_one(self.stack.pool())
        .await?)
    }

    /// Stores an earlier refresh token again, as if the response that replaced it had been
    /// lost.
    pub(super) async fn restore(&self, account: Uuid, sealed: &[u8]) -> anyhow::Result<()> {
        sqlx::query("UPDATE vault.credential SET sealed_refresh_token = $2 WHERE account_id = $1")
            .bind(account)
            .bind(sealed)
            .execute(self.stack.pool())
            .await?;
        Ok(())
    }

    /// Disconnects the account. Returns `true` if the provider confirmed the revocation.
    pub(super) async fn disconnect(&self, account: Uuid) -> anyhow::Result<bool> {
        revoke_account(&mut self.tokens().await?, account).await
    }

    /// Returns the status of the provider's userinfo endpoint for a token.
    pub(super) async fn userinfo_status(
        &self,
        userinfo: &str,
        token: &Token,
    ) -> anyhow::Result<u16> {
        let request = self.http.get(userinfo).bearer_auth(&token.access_token);
        Ok(request.send().await?.status().as_u16())
    }
}

/// The answers to many requests for tokens of one account.
#[derive(Debug, Default)]
pub(super) struct Requested {
    /// Number of answers with a token.
    pub answers: usize,
    /// Versions of the tokens.
    pub versions: BTreeSet<i64>,
    /// Reasons of the refusals.
    pub refusals: Vec<String>,
}

/// The reason why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refusal {
    /// `google.rpc.ErrorInfo.reason`; the name of the status if the answer has no reason.
    pub reason: String,
}

fn token_or_refusal(
    answer: Result<Option<Token>, Status>,
) -> anyhow::Result<Result<Token, Refusal>> {
    match answer {
        Ok(token) => Ok(Ok(token.context("the response has no token")?)),
        Err(status) => {
            let reason = status
                .get_details_error_info()
                .map_or_else(|| status.code().to_string(), |info| info.reason);
            Ok(Err(Refusal { reason }))
        }
    }
}

/// Returns the text of a page without its tags.
fn text_of_page(page: &str) -> String {
    let body = page.split_once("<body").map_or(page, |(_, body)| body);
    let text = body.split('<').filter_map(|part| part.split_once('>'));
    let words: Vec<&str> = text.flat_map(|(_, text)| text.split_whitespace()).collect();
    words.join(" ")
}

/// Returns the mail address of a person.
pub(super) fn address(login: &str) -> String {
    format!("{login}@acme.example")
}

/// Creates an HTTP client for a server's interfaces.
pub(super) fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()?)
}

/// Polls with the time limit of this module.
pub(super) async fn eventually<T>(
    what: &str,
    ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    polling::eventually(TIMEOUT, what, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_page_has_no_tags() {
        let page = "<html><head><title>No</title></head><body class=\"a\"><h1>Not\n signed in</h1><p>Try <b>again</b>.</p>";
        assert_eq!(text_of_page(page), "Not signed in Try again .");
    }
}
