//! The algorithm of the client's assertions.

use jsonwebtoken::Algorithm;
use latchkey_config::ConfigError;

use crate::reader::Reader;

/// Suffix of the variable.
pub(super) const SIGNING_ALG: &str = "TOKEN_AUTH_SIGNING_ALG";

/// Algorithms that can be configured.
const KNOWN: [Algorithm; 8] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::RS256,
    Algorithm::EdDSA,
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
];

/// Name of an algorithm (RFC 7518 section 3.1).
pub(crate) fn name_of(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

/// Reads the variable. `None` if it is not set.
pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Algorithm>, ConfigError> {
    let Some(text) = reader.optional(SIGNING_ALG)? else {
        return Ok(None);
    };
    let known = KNOWN.into_iter().find(|known| name_of(*known) == text);
    known.map(Some).ok_or_else(|| {
        let names = KNOWN.map(name_of).join(", ");
        reader.error(SIGNING_ALG, format!("must be one of {names}"))
    })
}

/// Returns `true` if a provider that announces these algorithms takes this one. An empty
/// list announces nothing.
pub(crate) fn takes(announced: &[String], algorithm: Algorithm) -> bool {
    let name = name_of(algorithm);
    // RFC 9864 gives Ed25519 a name of its own.
    let alias = (algorithm == Algorithm::EdDSA).then_some("Ed25519");
    announced.is_empty()
        || announced
            .iter()
            .any(|known| *known == name || Some(known.as_str()) == alias)
}

/// Least length of a secret in bytes (RFC 7518 section 3.2). `None` if the algorithm uses
/// none.
pub(super) const fn least_secret(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 => Some(64),
        _ => None,
    }
}
