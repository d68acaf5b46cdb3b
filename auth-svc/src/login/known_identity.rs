//! The identity that last signed in with a provider in this browser, in a sealed cookie. A
//! start needs it to know whose grant to look for, before the person is known (decision 35). It
//! is a hint and proves nothing: the callback looks at who came.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use latchkey_domain::{Issuer, ProviderName, Subject};
use latchkey_providers::VerifiedIdentity;
use serde::{Deserialize, Serialize};

use crate::flow_keys::FlowKeys;
use crate::http::cookies::host_cookie;

use crate::random::Randomness;

/// Prefix of the names of these cookies; the name of the provider follows.
pub const NAME_PREFIX: &str = "__Host-latchkey-known-";

/// How long a browser keeps the cookie after a sign-in.
const LIFETIME: Duration = Duration::from_hours(180 * 24);

/// Maximum length of a value in bytes. A longer one is not sent, because proxies limit the
/// cookies of a request.
const MAX_VALUE: usize = 1_000;

/// An identity at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIdentity {
    /// Issuer of the provider.
    #[serde(rename = "i")]
    pub issuer: Issuer,
    /// The person there.
    #[serde(rename = "s")]
    pub subject: Subject,
}

fn name_of(provider: &ProviderName) -> String {
    format!("{NAME_PREFIX}{provider}")
}

/// Builds the cookie after a sign-in. `None` if the identity cannot be sealed or is too long.
pub fn cookie(
    keys: &FlowKeys,
    provider: &ProviderName,
    identity: &VerifiedIdentity,
    randomness: &Randomness,
) -> Option<Cookie<'static>> {
    let name = name_of(provider);
    let known = KnownIdentity {
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
    };
    let plain = serde_json::to_vec(&known).ok()?;
    let value = keys.seal_for(&name, plain, randomness).ok()?;
    let seconds = i64::try_from(LIFETIME.as_secs()).ok()?;
    (value.len() <= MAX_VALUE).then(|| host_cookie(name, value, seconds))
}

/// Returns the identity in the request's cookie. `None` if there is none, or its key is gone.
pub fn of(
    keys: &FlowKeys,
    provider: &ProviderName,
    request: &HttpRequest,
) -> Option<KnownIdentity> {
    let name = name_of(provider);
    let cookie = request.cookie(&name)?;
    if cookie.value().len() > MAX_VALUE {
        return None;
    }
    let plain = keys.open_for(&name, cookie.value())?;
    serde_json::from_slice(&plain).ok()
}
