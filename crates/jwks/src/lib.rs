//! JSON Web Key Sets (RFC 7517), read within bounds.
//!
//! The keys of identity providers and the keys of callers' tokens are both read here.
//! A key that cannot be read is skipped: a new type of key must not take the others
//! away. Symmetric keys and keys for encryption are skipped as well.

mod body;
mod key;

use jsonwebtoken::Algorithm;
use serde_json::Value;

pub use body::{BodyError, read_body};
pub use key::{Key, algorithm_of};

/// Largest key set, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Keys of one set that are read; further keys are ignored.
pub const MAX_KEYS: usize = 100;
/// Keys that one token is tried with.
pub const MAX_CANDIDATES: usize = 8;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a document is not a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// The document is longer than [`MAX_BYTES`].
    #[error("the key set is longer than {max} bytes", max = MAX_BYTES)]
    TooLarge,
    /// The document is not JSON.
    #[error("the key set is not JSON")]
    NotJson,
    /// The document has no list `keys`.
    #[error("the document has no list of keys")]
    NoKeys,
}

/// The public keys of a key set that can verify signatures.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// The document is too long, or not a key set.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidKeySet> {
        if document.len() > MAX_BYTES {
            return Err(InvalidKeySet::TooLarge);
        }
        let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
        let document: Value =
            serde_json::from_slice(document).map_err(|_| InvalidKeySet::NotJson)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(InvalidKeySet::NoKeys)?;
        Ok(Self {
            keys: keys.iter().take(MAX_KEYS).filter_map(Key::parse).collect(),
        })
    }

    /// The keys, in the order of the document.
    pub fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    /// The keys that may have signed a token, at most [`MAX_CANDIDATES`]: the keys with
    /// its key id, then the keys without an id. Several keys may have the same id,
    /// because a provider that replaces a key shows both for a while. For a token without
    /// a key id: the keys without an id, or the only key that fits. `issuer` decides about
    /// a key that names an issuer.
    pub fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        issuer: &dyn Fn(&str) -> bool,
    ) -> Vec<&Key> {
        let fits = |key: &&Key| {
            key.is_for(algorithm)
                && key.issuer().is_none_or(issuer)
                && (id.is_none() || key.id().is_none() || key.id() == id)
        };
        let mut fitting: Vec<&Key> = self.keys.iter().filter(fits).collect();
        if id.is_none() && fitting.len() > 1 {
            fitting.retain(|key| key.id().is_none());
        }
        // The keys with the id first.
        fitting.sort_by_key(|key| key.id().is_none());
        fitting.truncate(MAX_CANDIDATES);
        fitting
    }
}

#[cfg(test)]
mod tests;
