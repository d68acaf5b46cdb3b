//! Requests to the two replicas of auth-svc: one takes sign-ins and logout tokens, and the other one
//! is asked who is signed in.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, COOKIE, ORIGIN};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// Name of the session cookie.
pub const COOKIE_NAME: &str = "__Host-latchkey-session";
/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The two replicas.
#[derive(Debug, Clone)]
pub struct Replicas {
    client: Client,
    first: String,
    other: String,
}

impl Replicas {
    /// `first` has the public origin.
    pub fn new(first: &str, other: &str) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::builder().timeout(TIMEOUT).no_proxy().build()?,
            first: first.to_owned(),
            other: other.to_owned(),
        })
    }

    /// Sends a logout token to the first replica. Returns `true` if it is accepted.
    pub async fn accept(&self, token: &str) -> bool {
        let path = format!("{}/auth/oidc/demo/backchannel-logout", self.first);
        let request = self.client.post(path).form(&[("logout_token", token)]);
        Self::status(request).await.ok() == Some(StatusCode::OK)
    }

    /// Returns an access token of the session with this cookie.
    pub async fn access_token(&self, secret: &str) -> anyhow::Result<String> {
        let answer: Value = self
            .client
            .post(format!("{}/auth/token", self.first))
            .header(ORIGIN, &self.first)
            .header(COOKIE, format!("{COOKIE_NAME}={secret}"))
            .json(&json!({ "grantType": "cookie" }))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let token = answer["accessToken"]["token"].as_str();
        Ok(token.context("the answer has no token")?.to_owned())
    }

    /// Returns `true` if the other replica accepts the cookie.
    pub async fn accepts_cookie(&self, secret: &str) -> anyhow::Result<bool> {
        let cookie = format!("{COOKIE_NAME}={secret}");
        self.accepts(COOKIE.as_str(), &cookie).await
    }

    /// Returns `true` if the other replica accepts the access token.
    pub async fn accepts_bearer(&self, token: &str) -> anyhow::Result<bool> {
        let bearer = format!("Bearer {token}");
        self.accepts(AUTHORIZATION.as_str(), &bearer).await
    }

    async fn accepts(&self, header: &str, value: &str) -> anyhow::Result<bool> {
        let request = self.client.get(format!("{}/auth/me", self.other));
        match Self::status(request.header(header, value)).await? {
            StatusCode::OK => Ok(true),
            StatusCode::UNAUTHORIZED => Ok(false),
            other => anyhow::bail!("/auth/me answered {other}"),
        }
    }

    /// Reads the whole answer, so that the connection is used again.
    async fn status(request: RequestBuilder) -> reqwest::Result<StatusCode> {
        let answer = request.send().await?;
        let status = answer.status();
        answer.bytes().await?;
        Ok(status)
    }
}
