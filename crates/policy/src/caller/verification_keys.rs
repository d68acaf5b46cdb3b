//! The current keys that verify service-account tokens (RFC 7517).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use latchkey_config::ConfigError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::{KeySetUrl, KeySource};

/// How often a file is checked for changes.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often a URL is fetched.
const FETCH_INTERVAL: Duration = Duration::from_mins(5);
/// Least time between two fetches, however many tokens have unknown keys.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// A fetch fails after this time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Keys by their ids, each for one algorithm. The algorithm in a token's header is only
/// compared with it (RFC 8725 section 3.1).
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, (Algorithm, DecodingKey)>);

impl KeySet {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let set: JwkSet = serde_json::from_str(text).map_err(|error| {
            ConfigError::new("CALLER_JWKS", format!("is not a key set: {error}"))
        })?;
        let keys: HashMap<_, _> = set
            .keys
            .iter()
            .filter_map(|jwk| {
                let id = jwk.common.key_id.clone()?;
                Some((id, (algorithm(jwk)?, DecodingKey::from_jwk(jwk).ok()?)))
            })
            .collect();
        if keys.is_empty() {
            return Err(ConfigError::new(
                "CALLER_JWKS",
                "has no public RSA or elliptic-curve key with a key id",
            ));
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, id: &str) -> Option<&(Algorithm, DecodingKey)> {
        self.0.get(id)
    }
}

/// The algorithm of a public key; `None` for a shared secret or an unsupported key.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let declared = match jwk.common.key_algorithm {
        Some(declared) => Some(declared.to_string().parse::<Algorithm>().ok()?),
        None => None,
    };
    match (&jwk.algorithm, declared) {
        (AlgorithmParameters::RSA(_), None) => Some(Algorithm::RS256),
        (
            AlgorithmParameters::RSA(_),
            Some(
                declared @ (Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512),
            ),
        ) => Some(declared),
        (AlgorithmParameters::EllipticCurve(key), None | Some(Algorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Some(Algorithm::ES256)
        }
        (AlgorithmParameters::EllipticCurve(key), None | Some(Algorithm::ES384))
            if key.curve == EllipticCurve::P384 =>
        {
            Some(Algorithm::ES384)
        }
        _ => None,
    }
}

/// The current keys, which are reloaded. Cheap to clone.
#[derive(Clone)]
pub(super) struct VerificationKeys {
    current: Arc<ArcSwap<KeySet>>,
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
                KeySet::parse(&environment.required("CALLER_JWKS", "a key set")?)?
            }
            KeySource::Url(_) => KeySet::default(),
        };
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(keys)),
            reload: Arc::default(),
            source,
        })
    }

    pub(super) fn current(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    /// Requests a fetch, because a token names an unknown key: there may be a new one.
    pub(super) fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Reloads the keys until `stop`.
    pub(super) async fn follow(self, stop: CancellationToken) {
        let work = async {
            match &self.source {
                KeySource::Text(environment) => {
                    let mut seen = environment.optional("CALLER_JWKS");
                    loop {
                        tokio::time::sleep(FILE_POLL_INTERVAL).await;
                        let now = environment.optional("CALLER_JWKS");
                        if now == seen {
                            continue;
                        }
                        let text = now.clone().map(Option::unwrap_or_default);
                        self.replace(text.and_then(|text| KeySet::parse(&text)));
                        seen = now;
                    }
                }
                KeySource::Url(source) => loop {
                    self.replace(fetch(source).await);
                    tokio::time::sleep(MIN_FETCH_INTERVAL).await;
                    let _ = tokio::time::timeout(FETCH_INTERVAL, self.reload.notified()).await;
                },
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    fn replace(&self, keys: Result<KeySet, ConfigError>) {
        match keys {
            Ok(keys) => self.current.store(Arc::new(keys)),
            Err(error) => {
                tracing::error!(%error, "the keys of service-account tokens cannot be read: the previous ones stay in use");
            }
        }
    }
}

async fn fetch(source: &KeySetUrl) -> Result<KeySet, ConfigError> {
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
    let answer = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    KeySet::parse(&answer.text().await.map_err(failed)?)
}
