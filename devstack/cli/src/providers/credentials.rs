//! With what a browser and a program prove a session, and which replicas accept it.

use anyhow::Context as _;
use reqwest::header::{COOKIE, ORIGIN};
use serde_json::{Value, json};
use url::Url;

use super::stack_client::StackClient;
use crate::browser::Browser;

/// Name of the cookie of a session.
const SESSION: &str = "__Host-latchkey-session";

/// The cookie of a session, and an access token of it.
pub(super) struct Credentials {
    cookie: String,
    access_token: String,
}

impl Credentials {
    /// Returns those of the session in this browser.
    pub(super) async fn of(
        stack_client: &StackClient<'_>,
        browser: &Browser,
    ) -> anyhow::Result<Self> {
        let app = stack_client.stack.public_url();
        let secret = browser
            .cookie(&Url::parse(app)?, SESSION)
            .context("the browser has no session")?;
        let cookie = format!("{SESSION}={secret}");
        let request = stack_client
            .http()
            .post(format!("{app}/auth/token"))
            .header(COOKIE, &cookie)
            .header(ORIGIN, app)
            .json(&json!({"grantType": "cookie"}));
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let access_token = answer
            .pointer("/accessToken/token")
            .and_then(Value::as_str)
            .context("there is no access token")?
            .to_owned();
        Ok(Self {
            cookie,
            access_token,
        })
    }

    /// Returns how many requests are accepted and how many are sent: at each replica one with the cookie
    /// and one with the access token.
    pub(super) async fn accepted(
        &self,
        stack_client: &StackClient<'_>,
    ) -> anyhow::Result<(usize, usize)> {
        let (mut accepted, mut sent) = (0, 0);
        for replica in stack_client.stack.auth_urls() {
            let request = || stack_client.http().get(format!("{replica}/auth/me"));
            for request in [
                request().header(COOKIE, &self.cookie),
                request().bearer_auth(&self.access_token),
            ] {
                let status = request.send().await?.status().as_u16();
                anyhow::ensure!(matches!(status, 200 | 401), "/auth/me answered {status}");
                sent += 1;
                accepted += usize::from(status == 200);
            }
        }
        Ok((accepted, sent))
    }

    /// Fails if one of the requests is refused.
    pub(super) async fn require_accepted(
        &self,
        whose: &str,
        stack_client: &StackClient<'_>,
    ) -> anyhow::Result<()> {
        let (accepted, sent) = self.accepted(stack_client).await?;
        anyhow::ensure!(
            accepted == sent,
            "{accepted} of {sent} requests of {whose} are accepted"
        );
        Ok(())
    }
}
