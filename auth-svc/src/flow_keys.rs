//! The keys of `FLOW_COOKIE_KEYS`, with which this service seals what only itself opens: flow cookies,
//! the `state` of a sign-out at a provider, and the ID tokens that are kept for it.
//!
//! A sealed text is `v1.<key id>.<base64url(nonce ‖ AES-256-GCM ciphertext)>`. Its purpose is the
//! associated data, so that it does not open in the place of another one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::Randomness;

/// The text is not a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a comma-separated list of <key id>:<32 bytes in base64url>, key ids unique")]
pub struct InvalidFlowKeys;

/// The encryption or the random number generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be sealed")]
pub struct NotSealed;

#[derive(Clone)]
struct FlowKey {
    id: String,
    key: Arc<LessSafeKey>,
}

/// The keys. The first key seals; every key opens.
#[derive(Clone)]
pub struct FlowKeys(Vec<FlowKey>);

impl fmt::Debug for FlowKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.id))
            .finish()
    }
}

impl FromStr for FlowKeys {
    type Err = InvalidFlowKeys;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys: Vec<FlowKey> = Vec::new();
        for part in text.split([',', ' ', '\n']).filter(|part| !part.is_empty()) {
            let key = FlowKey::parse(part)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(InvalidFlowKeys);
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(InvalidFlowKeys);
        }
        Ok(Self(keys))
    }
}

impl FlowKey {
    fn parse(text: &str) -> Result<Self, InvalidFlowKeys> {
        let (id, key) = text.split_once(':').ok_or(InvalidFlowKeys)?;
        let valid_id = (1..=32).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let bytes = URL_SAFE_NO_PAD
            .decode(key.trim_end_matches('='))
            .map_err(|_| InvalidFlowKeys)?;
        if !valid_id || bytes.len() != 32 {
            return Err(InvalidFlowKeys);
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| InvalidFlowKeys)?;
        Ok(Self {
            id: id.to_owned(),
            key: Arc::new(LessSafeKey::new(key)),
        })
    }
}

impl FlowKeys {
    /// Seals `plain` for a purpose.
    ///
    /// # Errors
    /// The encryption or the random number generator fails.
    pub fn seal_for(
        &self,
        purpose: &str,
        mut plain: Vec<u8>,
        randomness: &Randomness,
    ) -> Result<String, NotSealed> {
        let FlowKey { id, key } = self.0.first().ok_or(NotSealed)?;
        let nonce: [u8; NONCE_LEN] = randomness.bytes().map_err(|_| NotSealed)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(purpose.as_bytes()),
            &mut plain,
        )
        .map_err(|_| NotSealed)?;
        let mut body = nonce.to_vec();
        body.append(&mut plain);
        Ok(format!("v1.{id}.{}", URL_SAFE_NO_PAD.encode(body)))
    }

    /// Opens a text that was sealed for this purpose. Returns `None` if it is forged or altered, was
    /// sealed for another purpose, or its key is not in the list any more.
    pub fn open_for(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let (id, body) = sealed.strip_prefix("v1.")?.split_once('.')?;
        let FlowKey { key, .. } = self.0.iter().find(|key| key.id == id)?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (nonce, sealed) = body.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let plain = key
            .open_in_place(
                Nonce::try_assume_unique_for_key(nonce).ok()?,
                Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .ok()?;
        Some(plain.to_vec())
    }
}
