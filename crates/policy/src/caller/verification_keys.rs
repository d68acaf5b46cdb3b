//! The current keys that verify service-account tokens (RFC 7517).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, DecodingKey};
use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_jwks::{Key, KeySet, MAX_BYTES, read_body};
use latchkey_service::certificate::{self, CertificateUse};
use latchkey_service::file_watch;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often a URL is fetched.
const FETCH_INTERVAL: Duration = Duration::from_mins(5);
/// Least time between two fetches, however many tokens have unknown keys.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// A fetch fails after this time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The source of the keys that verify service-account tokens.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    /// `CALLER_JWKS`, or the file of `CALLER_JWKS_FILE`, which is read again when it
    /// changes.
    Text {
        /// The key set as it was read first.
        text: Arc<str>,
        environment: Environment,
    },
    /// `CALLER_JWKS_URL`, which is fetched regularly.
    Url(Box<KeySetUrl>),
}

/// A key set that is fetched over HTTPS.
#[derive(Debug, Clone)]
pub(super) struct KeySetUrl {
    /// `CALLER_JWKS_URL`.
    url: String,
    /// CA certificate for `CALLER_JWKS_URL` if it is not publicly trusted
    /// (`CALLER_JWKS_CA`).
    authority: Option<String>,
    /// Source of `CALLER_JWKS_TOKEN`, usually a file: the bearer token that the
    /// Kubernetes API requires to read its keys.
    environment: Environment,
}

impl KeySource {
    /// Reads the variables.
    ///
    /// # Errors
    /// A variable is missing or wrong.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        let text = read_key_set(environment);
        read_all! {
            let url = environment.optional("CALLER_JWKS_URL");
            let authority = read_authority(environment);
            // It is read again for each fetch.
            let _ = environment.optional("CALLER_JWKS_TOKEN");
        }
        let Some(url) = url else {
            let text = text?;
            KeysById::parse(text.as_bytes())?;
            return Ok(Self::Text {
                text,
                environment: environment.clone(),
            });
        };
        if !url.starts_with("https://") && !url.starts_with("http://127.0.0.1:") {
            let problem = "must begin with https://, such as \
                           https://kubernetes.default.svc/openid/v1/jwks";
            return Err(ConfigError::new("CALLER_JWKS_URL", problem).into());
        }
        Ok(Self::Url(Box::new(KeySetUrl {
            url,
            authority,
            environment: environment.clone(),
        })))
    }
}

/// Keys by their ids, each for one algorithm. The algorithm in a token's header is only
/// compared with it (RFC 8725 section 3.1).
#[derive(Default)]
pub(super) struct KeysById(HashMap<String, (Algorithm, Key)>);

impl KeysById {
    /// Reads a key set. Only RSA and elliptic-curve keys with a key id are used.
    fn parse(document: &[u8]) -> Result<Self, ConfigError> {
        let set = KeySet::parse(document).map_err(|error| {
            let problem = format!(
                "must be a key set as `kubectl get --raw /openid/v1/jwks` prints it: {error}"
            );
            ConfigError::new("CALLER_JWKS", problem)
        })?;
        let by_id = |key: Key| {
            let algorithm = key.algorithm().filter(|named| *named != Algorithm::EdDSA)?;
            Some((key.id()?.to_owned(), (algorithm, key)))
        };
        let keys: HashMap<_, _> = set.into_keys().into_iter().filter_map(by_id).collect();
        if keys.is_empty() {
            return Err(ConfigError::new(
                "CALLER_JWKS",
                "must have a public RSA or elliptic-curve key with a key id (`kid`)",
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
    /// Parses the keys of a text now; those of a URL are fetched by [`Self::follow`].
    pub(super) fn new(source: KeySource) -> Result<Self, ConfigError> {
        let keys = match &source {
            KeySource::Text { text, .. } => KeysById::parse(text.as_bytes())?,
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
            KeySource::Text { text, environment } => {
                let (what, in_use) = ("keys of service-account tokens", Arc::clone(text));
                let read = || read_key_set(environment);
                file_watch::watch(what, stop, in_use, read, |text| {
                    self.current
                        .store(Arc::new(KeysById::parse(text.as_bytes())?));
                    Ok(())
                })
                .await;
            }
            KeySource::Url(source) => {
                if let Some(pem) = &source.authority {
                    certificate::measure(CertificateUse::AuthorityOfCallerKeys, pem);
                }
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

fn read_authority(environment: &Environment) -> Result<Option<String>, ConfigError> {
    const NAME: &str = "CALLER_JWKS_CA";
    let text = environment.optional(NAME)?;
    let is_pem = |text: &String| {
        reqwest::Certificate::from_pem_bundle(text.as_bytes()).is_ok_and(|found| !found.is_empty())
    };
    if text.as_ref().is_none_or(is_pem) {
        Ok(text)
    } else {
        Err(ConfigError::new(NAME, "must be a certificate in PEM"))
    }
}

/// Reads the text of the key set from `CALLER_JWKS` or its file.
fn read_key_set(environment: &Environment) -> Result<Arc<str>, ConfigError> {
    environment
        .required(
            "CALLER_JWKS",
            "the key set of the cluster (`kubectl get --raw /openid/v1/jwks`), \
             CALLER_JWKS_FILE to its path, or CALLER_JWKS_URL to its address",
        )
        .map(Arc::from)
}
