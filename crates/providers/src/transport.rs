//! One HTTP client for every provider: time-outs, bounded bodies, no redirects.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use latchkey_domain::AccessToken;
use reqwest::redirect::Policy;
use url::Url;

use crate::ProviderError;

/// DNS, TCP and TLS together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// A document (discovery, keys), from the first byte out to the last byte in.
const DOCUMENT_DEADLINE: Duration = Duration::from_secs(5);
/// A token request that a person waits for, from the first byte out to the last
/// byte in.
const TOKEN_DEADLINE: Duration = Duration::from_secs(10);
/// A refresh: a provider that answers late has rotated the token all the same,
/// and an answer that is not waited for is a grant lost.
const REFRESH_DEADLINE: Duration = Duration::from_secs(31);
/// A refresh with the discovery that may come before it. A lease on a grant must
/// last longer than this and the time to store the answer.
pub const REQUEST_DEADLINE: Duration =
    Duration::from_secs(DOCUMENT_DEADLINE.as_secs() + REFRESH_DEADLINE.as_secs());
/// Idle connections are closed before the peer does (5 s with Node and Apache),
/// so that no request is sent into one that is closing: its outcome is unknown.
const IDLE: Duration = Duration::from_secs(4);
/// Bound of every body after decoding: two tokens of the largest size, and what is
/// around them.
const MAX_BODY: usize = 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns `true` if the body is of this media type.
    pub(crate) fn is_of_type(&self, media_type: &str) -> bool {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .is_some_and(|given| given.trim().eq_ignore_ascii_case(media_type))
    }
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpFailure {
    /// DNS, connection or TLS: nothing was sent.
    #[error("cannot connect: {0}")]
    NotSent(String),
    /// Sent; time-out or reset before the whole answer was there.
    #[error("no answer: {0}")]
    NoResponse(String),
    /// The body is larger than any honest one.
    #[error("the answer is too large")]
    TooLarge,
}

impl HttpFailure {
    /// What it means for a document.
    pub(crate) fn into_provider_error(self, lost: fn(String) -> ProviderError) -> ProviderError {
        match self {
            Self::NotSent(problem) => ProviderError::Unreachable(problem),
            failure => lost(failure.to_string()),
        }
    }
}

/// The shared client.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
}

/// The error with its causes, without the URL.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Http {
    /// Builds the client.
    ///
    /// # Errors
    /// The platform's TLS cannot be set up.
    pub(crate) fn build() -> Result<Self, String> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(TOKEN_DEADLINE)
            .pool_idle_timeout(IDLE)
            .redirect(Policy::none())
            .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(|client| Self { client })
            .map_err(chain)
    }

    /// Fetches a JSON document.
    pub(crate) async fn document(&self, url: &Url) -> Result<Response, HttpFailure> {
        let request = self
            .client
            .get(url.clone())
            .header("accept", "application/json")
            .timeout(DOCUMENT_DEADLINE);
        read(request).await
    }

    /// Fetches a document, JSON or a signed JWT, that a token gives access to.
    pub(crate) async fn document_with(
        &self,
        url: &Url,
        token: &AccessToken,
    ) -> Result<Response, HttpFailure> {
        let request = self
            .client
            .get(url.clone())
            .bearer_auth(token.expose())
            .header("accept", "application/json, application/jwt")
            .timeout(DOCUMENT_DEADLINE);
        read(request).await
    }

    /// Sends a form that `oauth2` made to `endpoint`.
    pub(crate) async fn form(
        &self,
        endpoint: &Url,
        request: oauth2::HttpRequest,
    ) -> Result<Response, HttpFailure> {
        self.form_within(endpoint, request, TOKEN_DEADLINE).await
    }

    /// Sends a refresh, which no person waits for.
    pub(crate) async fn refresh_form(
        &self,
        endpoint: &Url,
        request: oauth2::HttpRequest,
    ) -> Result<Response, HttpFailure> {
        self.form_within(endpoint, request, REFRESH_DEADLINE).await
    }

    async fn form_within(
        &self,
        endpoint: &Url,
        request: oauth2::HttpRequest,
        deadline: Duration,
    ) -> Result<Response, HttpFailure> {
        let (parts, body) = request.into_parts();
        let request = self
            .client
            .post(endpoint.clone())
            .timeout(deadline)
            .headers(parts.headers)
            .body(body);
        read(request).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Response, HttpFailure> {
    let mut response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            HttpFailure::NotSent(chain(error))
        } else {
            HttpFailure::NoResponse(chain(error))
        }
    })?;
    let status = response.status();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| HttpFailure::NoResponse(chain(error)))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(HttpFailure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// True where a URL may be trusted: `https`, or `http` on this machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for (text, secure) in [
            ("https://accounts.google.com", true),
            ("http://127.0.0.1:8080/google", true),
            ("http://[::1]:8080", true),
            ("http://localhost:1", true),
            ("http://accounts.google.com", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(is_secure(&Url::parse(text).unwrap()), secure, "{text}");
        }
    }
}
