//! The API of a provider. Replace this file: a real worker fetches messages from the cursor on,
//! page by page, and stores them.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use latchkey_client::Token;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use serde::Deserialize;
use url::Url;

/// Limit of a request, including its response.
const WITHIN: Duration = Duration::from_secs(30);

/// Why the API did not return the data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 401 was the answer to the token: the worker asks for another one.
    #[error("the provider's API does not accept the token")]
    TokenRefused,
    /// 403: the grant does not cover the data.
    #[error("the provider's API refuses the data with the granted scopes")]
    Forbidden,
    /// 429, or 503 with a time.
    #[error("the provider's API throttles")]
    Throttled {
        /// The time that the API asks for.
        after: Option<Duration>,
    },
    /// 404 or 410 for a cursor that is too old.
    #[error("the provider's API does not accept the cursor any more")]
    CursorExpired,
    /// The API is down or cannot be reached.
    #[error("the provider's API is not available: {0}")]
    Unavailable(String),
    /// Any other answer.
    #[error("the provider's API answered {0}")]
    Unexpected(String),
}

/// What the profile of a mailbox contains. Gmail has `historyId`; user info of OpenID Connect,
/// which the demo provider serves instead of mail, has `sub`.
#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "historyId")]
    history_id: Option<String>,
    sub: Option<String>,
}

/// The APIs by the name of the provider.
pub(crate) struct Apis {
    http: reqwest::Client,
    urls: HashMap<String, Url>,
}

impl Apis {
    pub(crate) fn new(urls: &[(String, Url)]) -> reqwest::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(WITHIN).build()?,
            urls: urls.iter().cloned().collect(),
        })
    }

    /// The API of a provider.
    pub(crate) fn of(&self, provider: &str) -> Option<Api<'_>> {
        let (http, url) = (&self.http, self.urls.get(provider)?);
        Some(Api { http, url })
    }
}

/// The API of one provider.
#[derive(Clone, Copy)]
pub(crate) struct Api<'a> {
    http: &'a reqwest::Client,
    url: &'a Url,
}

impl Api<'_> {
    /// Reads what is new since `cursor`, and returns the cursor at its end. The cursor of a first
    /// sync is empty.
    pub(crate) async fn read_since(self, cursor: &str, token: &Token) -> Result<String, ApiError> {
        let answer = self
            .http
            .get(self.url.clone())
            .header(AUTHORIZATION, token.authorization())
            .send()
            .await
            .map_err(|error| ApiError::Unavailable(error.without_url().to_string()))?;
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?));
        match answer.status() {
            StatusCode::OK => {}
            status => return Err(error(status, after, cursor)),
        }
        let profile: Profile = answer
            .json()
            .await
            .map_err(|error| ApiError::Unexpected(error.without_url().to_string()))?;
        profile
            .history_id
            .or(profile.sub)
            .ok_or_else(|| ApiError::Unexpected("a profile without a cursor".to_owned()))
    }
}

fn error(status: StatusCode, after: Option<Duration>, cursor: &str) -> ApiError {
    match status {
        StatusCode::UNAUTHORIZED => ApiError::TokenRefused,
        StatusCode::FORBIDDEN => ApiError::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => ApiError::Throttled { after },
        StatusCode::NOT_FOUND | StatusCode::GONE if !cursor.is_empty() => ApiError::CursorExpired,
        status if status.is_server_error() && after.is_some() => ApiError::Throttled { after },
        status if status.is_server_error() => ApiError::Unavailable(status.to_string()),
        status => ApiError::Unexpected(status.to_string()),
    }
}

/// The wait of a header `Retry-After` (RFC 9110 section 10.2.3): seconds or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "an example without the clock of the services"
    )]
    let now = SystemTime::now();
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_api_has_one_meaning() {
        let minute = Some(Duration::from_mins(1));
        assert_eq!(retry_after("60"), minute);
        assert!(retry_after("Tue, 31 Dec 2999 23:59:59 GMT") > minute);
        let of = |status: u16, after, cursor| {
            let status = StatusCode::from_u16(status).unwrap();
            error(status, after, cursor).to_string()
        };
        for (status, after, cursor, meaning) in [
            (401, None, "", ApiError::TokenRefused),
            (403, None, "", ApiError::Forbidden),
            (429, minute, "", ApiError::Throttled { after: minute }),
            (503, minute, "", ApiError::Throttled { after: minute }),
            (404, None, "17", ApiError::CursorExpired),
            (410, None, "17", ApiError::CursorExpired),
        ] {
            assert_eq!(of(status, after, cursor), meaning.to_string());
        }
        assert!(of(502, None, "").contains("not available"));
        assert!(of(404, None, "").contains("answered 404"));
    }
}
