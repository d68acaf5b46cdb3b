//! The key set of an issuer.

use latchkey_jwks::KeySet;
use url::Url;

use crate::ProviderError;
use crate::transport::Http;

/// Fetches a key set.
pub(crate) async fn fetch_key_set(http: &Http, url: &Url) -> Result<KeySet, ProviderError> {
    let unavailable = ProviderError::KeysUnavailable;
    let answer = http
        .document(url)
        .await
        .map_err(|failure| failure.into_provider_error(unavailable))?;
    if !answer.status.is_success() {
        return Err(unavailable(format!("status {}", answer.status.as_u16())));
    }
    KeySet::parse(&answer.body).map_err(|error| unavailable(error.to_string()))
}
