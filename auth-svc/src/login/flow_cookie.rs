//! The flow in a sealed cookie. It is bound to the browser that started the flow, and a
//! public endpoint writes nothing to the database.
//!
//! The cookie's name is the purpose for which the value is sealed, so that a value does not open in
//! the cookie of another flow.

use actix_web::cookie::Cookie;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::flow_keys::FlowKeys;
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
        let name = name_of(&flow.state);
        let plain = serde_json::to_vec(flow).map_err(|_| SealFlowError::Crypto)?;
        let value = self
            .seal_for(&name, plain, randomness)
            .map_err(|_| SealFlowError::Crypto)?;
        if value.len() > MAX_VALUE {
            return Err(SealFlowError::TooLong);
        }
        let max_age = i64::try_from(FLOW_LIFETIME.as_secs()).unwrap_or(600);
        Ok(host_cookie(name, value, max_age))
    }

    /// Opens the flow of a cookie. Returns `None` if the value is forged, altered or
    /// expired.
    pub fn open(&self, name: &str, value: &str, now: OffsetDateTime) -> Option<Flow> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let plain = self.open_for(name, value)?;
        let flow = serde_json::from_slice::<Flow>(&plain)
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
