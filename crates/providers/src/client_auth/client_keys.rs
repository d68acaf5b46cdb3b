//! The keys with which a client signs its assertions. The first one signs and all are
//! published, so that a new key is known to the provider before it signs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_service::file_watch;
use latchkey_signing_keys::{SigningKey, SigningKeys, problem_of};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::algorithm::{SIGNING_ALG, name_of, takes};
use super::assertion::{AssertionError, ClientAssertion, Statement};
use crate::reader::Reader;

/// Suffixes of the variables.
pub(super) const KEY: &str = "PRIVATE_KEY";
pub(super) const KEY_ID: &str = "PRIVATE_KEY_ID";

const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const END_CERTIFICATE: &str = "-----END CERTIFICATE-----";

/// The variables with the keys, as they were read at one time.
pub(super) struct KeyText {
    keys: SecretString,
    /// `kid` of each key, in their order. If it is empty, the keys name themselves.
    ids: Vec<String>,
}

impl PartialEq for KeyText {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids && self.keys.expose_secret() == other.keys.expose_secret()
    }
}

impl KeyText {
    /// Reads the variables. `None` if the client has no key.
    pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Self>, ConfigErrors> {
        read_all! {
            let keys = reader.optional(KEY);
            let ids = reader.environment.list(&reader.name(KEY_ID));
        }
        Ok(keys.map(|keys| Self {
            keys: SecretString::from(keys),
            ids,
        }))
    }
}

/// One key of the client.
struct ClientKey {
    id: String,
    algorithm: Algorithm,
    signing: EncodingKey,
    jwk: Value,
    /// `x5t#S256` of the key's certificate (RFC 7515 section 4.1.8), by which Entra finds
    /// it.
    thumbprint: Option<String>,
}

/// The keys of a client. There is at least one.
struct KeyList {
    first: ClientKey,
    others: Vec<ClientKey>,
}

impl KeyList {
    fn parse(
        reader: &Reader<'_>,
        text: &KeyText,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| reader.error(KEY, problem);
        let pem = text.keys.expose_secret();
        let keys: SigningKeys = pem.parse().map_err(|_| wrong(problem_of(pem)))?;
        let ids = ids(reader, &keys, &text.ids)?;
        let certificates = certificates(pem).ok_or_else(|| wrong("has a broken certificate"))?;
        let mut list = Vec::new();
        for (key, id) in keys.iter().zip(ids) {
            let algorithm = algorithm_for(key.algorithm, algorithm).ok_or_else(|| {
                let problem = format!(
                    "does not fit a key of {}, which signs with {}: remove it",
                    reader.name(KEY),
                    name_of(key.algorithm)
                );
                reader.error(SIGNING_ALG, problem)
            })?;
            let own = certificates
                .iter()
                .find(|certificate| is_of(certificate, key));
            if own.is_none() && !certificates.is_empty() {
                return Err(wrong("has certificates, but not one for each of its keys"));
            }
            let mut jwk = key.jwk().clone();
            jwk["kid"] = json!(id);
            jwk["alg"] = json!(algorithm);
            list.push(ClientKey {
                id,
                algorithm,
                signing: key.signing().clone(),
                jwk,
                thumbprint: own.map(|own| URL_SAFE_NO_PAD.encode(digest(&SHA256, own.as_slice()))),
            });
        }
        let mut list = list.into_iter();
        Ok(Self {
            first: list.next().ok_or_else(|| wrong(problem_of(pem)))?,
            others: list.collect(),
        })
    }

    fn iter(&self) -> impl Iterator<Item = &ClientKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// The `kid` of each key: the configured ones, else those that the keys have.
fn ids(
    reader: &Reader<'_>,
    keys: &SigningKeys,
    configured: &[String],
) -> Result<Vec<String>, ConfigError> {
    if configured.is_empty() {
        return Ok(keys.iter().map(|key| key.id.clone()).collect());
    }
    let mut distinct = configured.to_vec();
    distinct.sort();
    distinct.dedup();
    if distinct.len() != configured.len() || configured.len() != keys.iter().count() {
        let problem = format!(
            "must have a different id for each key of {}, in their order, with commas between",
            reader.name(KEY)
        );
        return Err(reader.error(KEY_ID, problem));
    }
    Ok(configured.to_vec())
}

/// The algorithm with which a key signs. `None` if it cannot sign with the configured one.
fn algorithm_for(own: Algorithm, configured: Option<Algorithm>) -> Option<Algorithm> {
    let fits = |wanted: &Algorithm| {
        *wanted == own || (*wanted == Algorithm::PS256 && own == Algorithm::RS256)
    };
    match configured {
        None => Some(own),
        Some(wanted) => Some(wanted).filter(fits),
    }
}

/// The certificates between the keys, in DER. `None` if one is broken.
fn certificates(pem: &str) -> Option<Vec<Vec<u8>>> {
    pem.split(BEGIN_CERTIFICATE)
        .skip(1)
        .map(|rest| {
            let (body, _) = rest.split_once(END_CERTIFICATE)?;
            let body: String = body.split_whitespace().collect();
            STANDARD.decode(body).ok()
        })
        .collect()
}

/// Returns `true` if the certificate is of this key: it contains the public key.
fn is_of(certificate: &[u8], key: &SigningKey) -> bool {
    let jwk = key.jwk();
    let part = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
    };
    let public = [part("n"), part("x"), part("y")].concat();
    !public.is_empty()
        && certificate
            .windows(public.len())
            .any(|window| window == public)
}

/// The public part of a client's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicClientKey {
    /// Key id (`kid`).
    pub id: String,
    /// Name of the algorithm, such as `ES256`.
    pub algorithm: String,
    /// `true` for the key that signs now.
    pub signs: bool,
    /// The key as a JWK (RFC 7517 section 4).
    pub jwk: Value,
}

/// The keys of a client, which follow their file.
pub(crate) struct ClientKeys {
    environment: Environment,
    prefix: String,
    algorithm: Option<Algorithm>,
    /// What the keys were read from at the start.
    text: Arc<KeyText>,
    current: ArcSwap<KeyList>,
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.published().into_iter().map(|key| key.id).collect();
        f.debug_tuple("ClientKeys").field(&ids).finish()
    }
}

impl ClientKeys {
    pub(super) fn parse(
        reader: &Reader<'_>,
        text: KeyText,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, ConfigError> {
        let list = KeyList::parse(reader, &text, algorithm)?;
        Ok(Self {
            environment: reader.environment.clone(),
            prefix: reader.prefix.to_owned(),
            algorithm,
            text: Arc::new(text),
            current: ArcSwap::from_pointee(list),
        })
    }

    /// The algorithm of the key that signs.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.current.load().first.algorithm
    }

    /// The public keys, the one that signs first.
    pub(crate) fn published(&self) -> Vec<PublicClientKey> {
        let list = self.current.load();
        let public = list
            .iter()
            .enumerate()
            .map(|(position, key)| PublicClientKey {
                id: key.id.clone(),
                algorithm: name_of(key.algorithm),
                signs: position == 0,
                jwk: key.jwk.clone(),
            });
        public.collect()
    }

    /// Signs a new assertion for a provider that announces these algorithms.
    pub(super) fn assert(
        &self,
        statement: &Statement<'_>,
        announced: &[String],
    ) -> Result<ClientAssertion, AssertionError> {
        let list = self.current.load();
        let key = &list.first;
        if !takes(announced, key.algorithm) {
            return Err(AssertionError::Algorithm(name_of(key.algorithm)));
        }
        let header = Header {
            kid: Some(key.id.clone()),
            x5t_s256: key.thumbprint.clone(),
            ..Header::new(key.algorithm)
        };
        ClientAssertion::sign(&header, &key.signing, statement)
    }

    /// Follows the files until `stop`. Keys that cannot be used change nothing.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let reader = Reader {
            environment: &self.environment,
            prefix: &self.prefix,
        };
        let read = || match KeyText::read(&reader) {
            Ok(Some(text)) => Ok(Arc::new(text)),
            Ok(None) => Err(reader.error(KEY, "is empty").into()),
            Err(errors) => Err(errors),
        };
        let apply = |text: &Arc<KeyText>| {
            let list = KeyList::parse(&reader, text, self.algorithm)?;
            self.current.store(Arc::new(list));
            Ok::<(), ConfigErrors>(())
        };
        let in_use = Arc::clone(&self.text);
        file_watch::watch("keys of a client", stop, in_use, read, apply).await;
    }
}
