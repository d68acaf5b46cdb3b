//! The ID token of a sign-in, sealed and kept with its session as the hint of the sign-out at the provider
//! (OpenID Connect RP-Initiated Logout 1.0 section 2).

use latchkey_domain::SessionId;
use latchkey_providers::{IdToken, MAX_ID_TOKEN_HINT, Provider};

use crate::flow_keys::FlowKeys;
use crate::random::Randomness;

/// Sealed for one session, so that a token does not open in the row of another one.
fn purpose(session: SessionId) -> String {
    format!("id_token_hint of {session}")
}

/// Returns the sealed ID token, or `None` if it is not kept: the provider ends no session, or the token
/// is too long to be sent back in a URL.
pub fn seal(
    keys: &FlowKeys,
    randomness: &Randomness,
    provider: &Provider,
    id_token: &IdToken,
    session: SessionId,
) -> Option<String> {
    if !provider.uses_id_token_hint() {
        return None;
    }
    let plain = id_token.as_str().as_bytes();
    if plain.len() > MAX_ID_TOKEN_HINT {
        tracing::info!(provider = %provider.name(), bytes = plain.len(), "the ID token is too long to be a hint of the sign-out");
        return None;
    }
    match keys.seal_for(&purpose(session), plain.to_vec(), randomness) {
        Ok(sealed) => Some(sealed),
        Err(error) => {
            // The sign-out works without it.
            tracing::error!(%error, "the ID token was not kept for the sign-out");
            None
        }
    }
}

/// Opens the ID token of a session. `None` if its key is not in use any more.
pub fn open(keys: &FlowKeys, sealed: &str, session: SessionId) -> Option<IdToken> {
    let plain = keys.open_for(&purpose(session), sealed)?;
    String::from_utf8(plain).ok().map(IdToken::new)
}
