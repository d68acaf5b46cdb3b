//! The current keys that verify service-account tokens (RFC 7517).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, DecodingKey};
use latchkey_config::ConfigError;
use latchkey_jwks::{Key, KeySet, MAX_BYTES, read_body};
use latchkey_service::file_watch;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::{KeySetUrl, KeySource};

/// How often a URL is fetched.
const FETCH_INTERVAL: Duration = Duration::from_mins(5);
/// Least time between two fetches, however many tokens have unknown keys.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// A fetch fails after this time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Keys by their ids, each for one algorithm. The algorithm in a token's header is only
/// compared with it (RFC 8725 section 3.1).
#[derive(Default)]
pub(super) struct KeysById(HashMap<String, (Algorithm, Key)>);

impl KeysById {
    /// Reads a key set. Only RSA and elliptic-curve keys with a key id are used.
    fn parse(document: &[u8]) -> Result<Self, ConfigError> {
        let set = KeySet::parse(document).map_err(|error| {
            ConfigError::new("CALLER_JWKS", format!("is not a key set: {error}"))
        })?;
        let by_id = |key: Key| {
            let algorithm = key.algorithm().filter(|named| *named != Algorithm::EdDSA)?;
            Some((key.id()?.to_owned(), (algorithm, key)))
        };
        let keys: HashMap<_, _> = set.into_keys().into_iter().filter_map(by_id).collect();
        if keys.is_empty() {
            return Err(ConfigError::new(
                "CALLER_JWKS",
                "has no public RSA or elliptic-curve key with a key id",
            ));
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, id: &str) -> Option<(Algorithm, &DecodingKey)> {
        let (algorithm, key) = self.0.get(id)?;
        Some((*algorithm, key.decoding_key()))
    }
}

/// The current keys, which are reloaded. Cheap to clone.
#[derive(Clone)]
pub(super) struct VerificationKeys {
    current: Arc<ArcSwap<KeysById>>,
    reload: Arc<Notify>,
    source: KeySource,
}

impl std::fmt::Debug for VerificationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationKeys").finish_non_exhaustive()
    }
}

impl VerificationKeys {
    /// Reads the keys of a file now; those of a URL are fetched by [`Self::follow`].
    pub(super) fn new(source: KeySource) -> Result<Self, ConfigError> {
        let keys = match &source {
            KeySource::Text(environment) => {
                KeysById::parse(environment.required("CALLER_JWKS", "a key set")?.as_bytes())?
            }
            KeySource::Url(_) => KeysById::default(),
        };
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(keys)),
            reload: Arc::default(),
            source,
        })
    }

    pub(super) fn current(&self) -> Arc<KeysById> {
        self.current.load_full()
    }

    /// Requests a fetch, because a token names an unknown key: there may be a new one.
    pub(super) fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Reloads the keys until `stop`.
    pub(super) async fn follow(self, stop: CancellationToken) {
        match &self.source {
            KeySource::Text(environment) => {
                let read = || environment.required("CALLER_JWKS", "a key set");
                file_watch::watch("keys of service-account tokens", stop, read, |text| {
                    self.current
                        .store(Arc::new(KeysById::parse(text.as_bytes())?));
                    Ok(())
                })
                .await;
            }
            KeySource::Url(source) => {
                let fetching = async {
                    loop {
                        self.fetch(source).await;
                        tokio::time::sleep(MIN_FETCH_INTERVAL).await;
                        let _ = tokio::time::timeout(FETCH_INTERVAL, self.reload.notified()).await;
                    }
                };
                stop.run_until_cancelled(fetching).await;
            }
        }
    }

    async fn fetch(&self, source: &KeySetUrl) {
        match fetch(source).await {
            Ok(keys) => self.current.store(Arc::new(keys)),
            Err(error) => tracing::error!(
                %error,
                "the keys of service-account tokens cannot be read: the previous ones stay in use"
            ),
        }
    }
}

async fn fetch(source: &KeySetUrl) -> Result<KeysById, ConfigError> {
    let wrong = |problem: String| ConfigError::new("CALLER_JWKS_URL", problem);
    let failed = |error: reqwest::Error| wrong(error.without_url().to_string());
    let mut client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(authority) = &source.authority {
        let authorities =
            reqwest::Certificate::from_pem_bundle(authority.as_bytes()).map_err(failed)?;
        client = client.tls_certs_only(authorities);
    }
    let mut request = client.build().map_err(failed)?.get(&source.url);
    // Read for each fetch: Kubernetes replaces the token.
    if let Some(token) = source.environment.optional("CALLER_JWKS_TOKEN")? {
        request = request.bearer_auth(token);
    }
    let mut response = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let document = read_body(&mut response, MAX_BYTES)
        .await
        .map_err(|error| wrong(error.to_string()))?;
    KeysById::parse(&document)
}
