//! The steps of a person and of a calling service with one provider.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use devstack::browser::{Browser, Person};
use devstack::walkthrough::{
    Account, Token, account_of, authorize_address, get_access_token, refresh_access_token,
    revoke_account,
};
use latchkey_e2e::{account, eventually, shared_with};
use latchkey_servers::Child;
use uuid::Uuid;

use crate::provider::{Foreign, http, options, public_url};

/// What happened to a disconnected grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The provider confirmed the revocation.
    AtProvider,
    /// Only Latchkey deleted the grant, because the provider has no revocation endpoint.
    HereOnly,
}

/// A running provider, and the stack that all providers share.
pub struct Journey {
    foreign: Foreign,
    stack: Arc<Stack>,
    http: reqwest::Client,
    _child: Child,
}

impl Journey {
    /// Starts the provider.
    pub async fn begin(foreign: Foreign) -> anyhow::Result<Self> {
        let child = foreign.start().await?;
        Ok(Self {
            foreign,
            stack: shared_with(options).await?,
            http: http()?,
            _child: child,
        })
    }

    /// Signs in with a new browser; the sign-in must end in the app.
    pub async fn sign_in(&self) -> anyhow::Result<()> {
        let public_url = public_url()?;
        let login = self.foreign.login();
        let person = Person {
            login: &login,
            password: "any",
        };
        let mut browser = Browser::new()?;
        let mut next = authorize_address(&mut browser, &self.stack, &self.foreign.path()).await?;
        // R5: a sign-in without a refresh token is repeated once, with consent.
        for _ in 0..2 {
            let back = browser
                .submit_forms(&next, person, |url| url.as_str().starts_with(&public_url))
                .await?;
            let landing = browser.get(back.redirect_target()?.clone()).await?;
            let sent = landing
                .redirect_target()
                .context("the callback was refused")?;
            if sent.as_str().starts_with(&public_url) {
                return Ok(());
            }
            next = sent.clone();
        }
        anyhow::bail!("the sign-in does not end; the last redirect was to {next}")
    }

    /// The only account of the person.
    pub async fn account(&self) -> anyhow::Result<Account> {
        account(&self.stack, self.foreign.name(), &self.foreign.address()).await
    }

    /// The current accounts of the person.
    pub async fn accounts(&self) -> anyhow::Result<Vec<Account>> {
        let address = self.foreign.address();
        Ok(account_of(self.stack.pool(), self.foreign.name(), &address).await?)
    }

    /// Returns `true` if the person has signed in with this provider.
    pub async fn knows_the_person(&self) -> anyhow::Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM auth.identity WHERE email = $1 AND provider = $2)",
        )
        .bind(self.foreign.address())
        .bind(self.foreign.name())
        .fetch_one(self.stack.pool())
        .await?)
    }

    /// Gets a token as a calling service does.
    pub async fn token(&self, account: Uuid) -> anyhow::Result<Token> {
        let mut tokens = self.stack.tokens(0).await?;
        get_access_token(&mut tokens, account, Duration::from_mins(1)).await
    }

    /// Gets a token; waits until the account is repaired.
    pub async fn token_again(&self, account: Uuid) -> anyhow::Result<Token> {
        eventually("a token of the account that came back", async || {
            Ok(self.token(account).await.ok())
        })
        .await
    }

    /// Forces a refresh, as after a 401 of the provider's API.
    pub async fn refresh(&self, account: Uuid, refused_version: i64) -> anyhow::Result<Token> {
        // Callers may force one refresh a minute.
        sqlx::query("UPDATE vault.credential SET forced_at = NULL WHERE account_id = $1")
            .bind(account)
            .execute(self.stack.pool())
            .await?;
        let mut tokens = self.stack.tokens(0).await?;
        refresh_access_token(&mut tokens, account, refused_version).await
    }

    /// Disconnects the account.
    pub async fn disconnect(&self, account: Uuid) -> anyhow::Result<Revoked> {
        let mut tokens = self.stack.tokens(0).await?;
        Ok(if revoke_account(&mut tokens, account).await? {
            Revoked::AtProvider
        } else {
            Revoked::HereOnly
        })
    }

    /// The reason why the grant is dead.
    pub async fn failure(&self, account: Uuid) -> anyhow::Result<Option<String>> {
        Ok(
            sqlx::query_scalar("SELECT failure_class FROM vault.credential WHERE account_id = $1")
                .bind(account)
                .fetch_one(self.stack.pool())
                .await?,
        )
    }

    /// The status of the provider's userinfo endpoint for the token.
    pub async fn accepts(&self, token: &Token) -> anyhow::Result<u16> {
        let document = self.http.get(self.foreign.discovery()?).send().await?;
        let document: serde_json::Value = serde_json::from_str(&document.text().await?)?;
        let userinfo = document
            .get("userinfo_endpoint")
            .and_then(serde_json::Value::as_str)
            .context("the provider has no userinfo endpoint")?;
        let answer = self.http.get(userinfo).bearer_auth(&token.access_token);
        Ok(answer.send().await?.status().as_u16())
    }

    /// The response of the provider at a path.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.foreign.base()?);
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// Sends a POST to the provider; `{person}` in the path becomes the person's address.
    pub async fn post(&self, path: &str) -> anyhow::Result<()> {
        let path = path.replace("{person}", &self.foreign.address());
        let url = format!("{}{path}", self.foreign.base()?);
        self.http.post(url).send().await?.error_for_status()?;
        Ok(())
    }
}
