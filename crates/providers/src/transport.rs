//! One HTTP client for all providers, with timeouts, bounded bodies and no redirects.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use latchkey_domain::AccessToken;
use latchkey_jwks::{BodyError, read_body};
use reqwest::redirect::Policy;
use tracing::Instrument as _;
use url::Url;

use crate::ProviderError;
use crate::request_span::RequestSpan;

/// Limit of DNS, TCP and TLS together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// Limit of a request for a document (discovery, keys), including its response.
const DOCUMENT_DEADLINE: Duration = Duration::from_secs(5);
/// Limit of a token request that a person waits for, including its response.
const TOKEN_DEADLINE: Duration = Duration::from_secs(10);
/// Limit of a refresh. It is long because a provider that responds late has rotated the
/// refresh token, and the grant is lost if its response is not read.
const REFRESH_DEADLINE: Duration = Duration::from_secs(31);
/// Limit of a refresh together with the discovery that may precede it. A lease on a grant
/// must last longer than this, plus the time for storing the response.
pub const REQUEST_DEADLINE: Duration =
    Duration::from_secs(DOCUMENT_DEADLINE.as_secs() + REFRESH_DEADLINE.as_secs());
/// Idle connections are closed before the peer closes them (after 5 s with Node and
/// Apache). The outcome of a request on a closing connection would be unknown.
const IDLE: Duration = Duration::from_secs(4);
/// Longest body after decompression, in bytes: two tokens of the longest size and the text
/// around them.
const MAX_BODY: usize = 1024 * 1024;

/// A complete response.
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

/// A request without a complete response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpFailure {
    /// DNS, connection or TLS failed: nothing was sent.
    #[error("cannot connect: {0}")]
    NotSent(String),
    /// The request was sent, and a timeout or reset came before the end of the response.
    #[error("no response: {0}")]
    NoResponse(String),
    /// The body is longer than [`MAX_BODY`].
    #[error("the response is too large")]
    TooLarge,
}

impl HttpFailure {
    /// The kind of the failure, for traces.
    fn kind(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::NoResponse(_) => "no_response",
            Self::TooLarge => "too_large",
        }
    }

    /// The error if the request was for a document. `lost` makes it, unless nothing was sent.
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

/// The error and its causes as text, without the URL.
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
    /// TLS cannot be set up.
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

    /// Fetches a document, JSON or a signed JWT, with an access token.
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

    /// Sends a form, which `oauth2` made, to `endpoint`.
    pub(crate) async fn form(
        &self,
        endpoint: &Url,
        request: oauth2::HttpRequest,
    ) -> Result<Response, HttpFailure> {
        self.form_within(endpoint, request, TOKEN_DEADLINE).await
    }

    /// Sends a refresh, for which no person waits.
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
    let (client, request) = request.build_split();
    let request = request.map_err(|error| HttpFailure::NotSent(chain(error)))?;
    let span = RequestSpan::of(request.method(), request.url());
    let response = send(client, request).instrument(span.span()).await;
    match &response {
        Ok(response) => span.answered(response.status),
        Err(failure) => span.failed(failure.kind()),
    }
    response
}

async fn send(client: reqwest::Client, request: reqwest::Request) -> Result<Response, HttpFailure> {
    let mut response = client.execute(request).await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            HttpFailure::NotSent(chain(error))
        } else {
            HttpFailure::NoResponse(chain(error))
        }
    })?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = read_body(&mut response, MAX_BODY)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge(_) => HttpFailure::TooLarge,
            BodyError::Connection(error) => HttpFailure::NoResponse(chain(error)),
        })?;
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// Returns `true` for `https`, and for `http` with a loopback host.
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
    fn http_is_accepted_for_loopback_only() {
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
