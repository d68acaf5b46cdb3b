//! The flow in a sealed cookie. It is bound to the browser that started the flow, and a
//! public endpoint writes nothing to the database.
//!
//! The value is `v1.<key id>.<base64url(nonce ‖ AES-256-GCM ciphertext)>`. The cookie's
//! name is the associated data, so that a value does not open in the cookie of another
//! flow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::cookie::Cookie;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::http::cookies::{host_cookie, removal};
use crate::login::flow::{FLOW_LIFETIME, Flow};
use crate::random::{Randomness, sha256};
use crate::secret::OAuthState;

/// Prefix of the names of all flow cookies. Browsers accept `__Host-` only with `Secure`,
/// without `Domain` and with the path `/` (RFC 6265bis section 4.1.3), so a sibling host
/// cannot set one.
pub const NAME_PREFIX: &str = "__Host-latchkey-flow-";

/// Maximum number of flows of one browser. The oldest flow is removed.
pub const MAX_FLOWS: usize = 4;

/// Maximum length of a value in bytes. Browsers keep 4096 bytes of a cookie, and proxies
/// accept 8 kB of cookies together.
const MAX_VALUE: usize = 2_800;

/// The text is not a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a comma-separated list of <key id>:<32 bytes in base64url>, key ids unique")]
pub struct InvalidFlowKeys;

/// Why a flow cannot be sealed into a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFlowError {
    /// The flow is too long for a cookie.
    #[error("the request is too long to be carried through the sign-in")]
    TooLong,
    /// The encryption failed.
    #[error("the flow cannot be sealed")]
    Crypto,
}

#[derive(Clone)]
struct FlowKey {
    id: String,
    key: Arc<LessSafeKey>,
}

/// Keys of the flow cookies. The first key seals; every key opens.
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

/// Returns the name of the cookie of the flow with this `state`.
pub fn name_of(state: &OAuthState) -> String {
    let digest = URL_SAFE_NO_PAD.encode(sha256(state.expose()));
    format!("{NAME_PREFIX}{}", digest.get(..22).unwrap_or(&digest))
}

impl FlowKeys {
    /// Seals a flow into its cookie.
    ///
    /// # Errors
    /// Returns an error if the flow is too long, or cannot be sealed.
    pub fn seal(
        &self,
        flow: &Flow,
        randomness: &Randomness,
    ) -> Result<Cookie<'static>, SealFlowError> {
        let FlowKey { id, key } = self.0.first().ok_or(SealFlowError::Crypto)?;
        let name = name_of(&flow.state);
        let nonce: [u8; NONCE_LEN] = randomness.bytes().map_err(|_| SealFlowError::Crypto)?;
        let mut sealed = serde_json::to_vec(flow).map_err(|_| SealFlowError::Crypto)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(name.as_bytes()),
            &mut sealed,
        )
        .map_err(|_| SealFlowError::Crypto)?;
        let mut body = nonce.to_vec();
        body.append(&mut sealed);
        let value = format!("v1.{id}.{}", URL_SAFE_NO_PAD.encode(body));
        if value.len() > MAX_VALUE {
            return Err(SealFlowError::TooLong);
        }
        let max_age = i64::try_from(FLOW_LIFETIME.as_secs()).unwrap_or(600);
        Ok(host_cookie(name, value, max_age))
    }

    /// Opens the flow of a cookie. Returns `None` if the value is forged, altered or
    /// expired.
    pub fn open(&self, name: &str, value: &str, now: OffsetDateTime) -> Option<Flow> {
        let (id, body) = value.strip_prefix("v1.")?.split_once('.')?;
        if value.len() > MAX_VALUE {
            return None;
        }
        let FlowKey { key, .. } = self.0.iter().find(|key| key.id == id)?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (nonce, sealed) = body.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let plain = key
            .open_in_place(
                Nonce::try_assume_unique_for_key(nonce).ok()?,
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .ok()?;
        let flow = serde_json::from_slice::<Flow>(plain)
            .ok()?
            .without_unagreed_choices();
        (name_of(&flow.state) == name && !flow.is_expired(now)).then_some(flow)
    }

    /// Returns cookies that remove flows before a new flow starts: the expired ones, and
    /// the oldest ones, so that at most [`MAX_FLOWS`] remain with the new one.
    pub fn to_evict(&self, cookies: &[Cookie<'_>], now: OffsetDateTime) -> Vec<Cookie<'static>> {
        let mut alive = Vec::new();
        let mut evicted = Vec::new();
        for cookie in cookies.iter().filter(|c| c.name().starts_with(NAME_PREFIX)) {
            match self.open(cookie.name(), cookie.value(), now) {
                Some(flow) => alive.push((flow.expires_at, cookie.name().to_owned())),
                None => evicted.push(removal(cookie.name().to_owned())),
            }
        }
        // Of flows of the same second, the browser sends the oldest first (RFC 6265 section
        // 5.4).
        alive.sort_by_key(|(expires_at, _)| *expires_at);
        let surplus = (alive.len() + 1).saturating_sub(MAX_FLOWS);
        evicted.extend(alive.drain(..surplus).map(|(_, name)| removal(name)));
        evicted
    }
}

#[cfg(test)]
mod tests;
