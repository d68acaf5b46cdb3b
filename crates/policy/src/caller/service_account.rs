//! Tokens of Kubernetes service accounts (projected, bound to an audience),
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, decode, decode_header};
use latchkey_config::ConfigError;
use latchkey_domain::Clock;
use serde::Deserialize;

use super::settings::TokenSettings;
use super::verification_keys::{KeysById, VerificationKeys};

/// Longest token that is accepted; real ones are shorter.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Tolerance for clocks that differ.
const LEEWAY_SECONDS: i64 = 10;
/// Number of verified tokens that the cache holds.
const CACHE_CAPACITY: usize = 4096;
const SUBJECT: &str = "system:serviceaccount:";

/// Why a bearer token is not accepted. The reason is recorded, but not sent to the
/// caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("a malformed token")]
    Malformed,
    #[error("a token with an unknown key")]
    UnknownKey,
    #[error("a token with another algorithm than its key")]
    Algorithm,
    #[error("a token whose signature, issuer or audience is wrong")]
    Invalid,
    #[error("an expired token")]
    Expired,
    #[error("a token that is not valid yet")]
    NotYetValid,
    #[error("a token that does not belong to a service account")]
    NotServiceAccount,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

/// SHA-256 of a token: the token itself is not kept.
type Digest = [u8; 32];

struct Verified {
    name: Arc<str>,
    expires_at: i64,
}

/// The tokens that were verified with the current key set.
#[derive(Default)]
struct Cache {
    keys: Option<Arc<KeysById>>,
    verified: HashMap<Digest, Verified>,
}

/// Verifies bearer tokens of service accounts.
pub(super) struct ServiceAccounts {
    issuer: String,
    audience: String,
    keys: VerificationKeys,
    clock: Arc<dyn Clock>,
    /// Verifying a signature costs more than the rest of a call, so each token is verified
    /// once.
    cache: Mutex<Cache>,
}

impl std::fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccounts")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    pub(super) fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Ok(Self {
            issuer: settings.issuer,
            audience: settings.audience,
            keys: VerificationKeys::new(settings.keys)?,
            clock,
            cache: Mutex::default(),
        })
    }

    pub(super) fn keys(&self) -> VerificationKeys {
        self.keys.clone()
    }

    /// The name of the service account that a token belongs to.
    pub(super) fn name_of(&self, token: &str) -> Result<Arc<str>, BadToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(BadToken::Malformed);
        }
        let keys = self.keys.current();
        let digest = digest(token);
        let now = self.clock.now().unix_timestamp();
        if let Some(name) = self.cached(&keys, &digest, now) {
            return name;
        }
        let verified = self.verify(&keys, token, now)?;
        let name = Arc::clone(&verified.name);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // If the keys changed during the verification, the token is not cached for the new ones.
        let is_current = |known: &Arc<KeysById>| Arc::ptr_eq(known, &keys);
        if !cache.keys.as_ref().is_some_and(is_current) {
            return Ok(name);
        }
        if cache.verified.len() >= CACHE_CAPACITY {
            cache.verified.clear();
        }
        cache.verified.insert(digest, verified);
        Ok(name)
    }

    fn cached(
        &self,
        keys: &Arc<KeysById>,
        digest: &Digest,
        now: i64,
    ) -> Option<Result<Arc<str>, BadToken>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // A token must not outlive the key that verified it.
        if !cache
            .keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
        {
            cache.verified.clear();
            cache.keys = Some(Arc::clone(keys));
        }
        let verified = cache.verified.get(digest)?;
        Some(if verified.expires_at + LEEWAY_SECONDS < now {
            Err(BadToken::Expired)
        } else {
            Ok(Arc::clone(&verified.name))
        })
    }

    fn verify(&self, keys: &KeysById, token: &str, now: i64) -> Result<Verified, BadToken> {
        // This also refuses the algorithm `none`, which the library does not have.
        let header = decode_header(token).map_err(|_| BadToken::Malformed)?;
        let id = header.kid.ok_or(BadToken::UnknownKey)?;
        let (algorithm, key) = keys.get(&id).ok_or_else(|| {
            self.keys.request_reload();
            BadToken::UnknownKey
        })?;
        if header.alg != algorithm {
            return Err(BadToken::Algorithm);
        }
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The times are checked below with the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = decode::<Claims>(token, key, &validation)
            .map_err(|_| BadToken::Invalid)?
            .claims;
        if claims.exp + LEEWAY_SECONDS < now {
            return Err(BadToken::Expired);
        }
        if claims.nbf.is_some_and(|since| since - LEEWAY_SECONDS > now) {
            return Err(BadToken::NotYetValid);
        }
        let is_account = claims.sub.strip_prefix(SUBJECT).is_some_and(|rest| {
            rest.split_once(':').is_some_and(|(namespace, name)| {
                !namespace.is_empty() && !name.is_empty() && !name.contains(':')
            })
        });
        if !is_account {
            return Err(BadToken::NotServiceAccount);
        }
        Ok(Verified {
            name: claims.sub.into(),
            expires_at: claims.exp,
        })
    }
}

fn digest(token: &str) -> Digest {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let mut digest = Digest::default();
    digest.copy_from_slice(hash.as_ref());
    digest
}

/// The bearer token of an `authorization` value (RFC 6750 section 2.1).
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    // A JWT has three parts in base64url; anything else is another kind of secret.
    let is_jwt = token.split('.').count() == 3
        && BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap_or_default())
            .is_ok();
    (scheme.eq_ignore_ascii_case("bearer") && is_jwt).then_some(token)
}
