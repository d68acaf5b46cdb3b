//! Ids of key pairs.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The text is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id must be 1 to 32 of a-z, A-Z, 0-9, -, _, .")]
pub struct InvalidKeyId;

/// Id of a key pair: 1 to 32 of `a-z A-Z 0-9 - _ .`. It is public.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The id that is derived from a public key: `k` and its first four bytes in hexadecimal, such
    /// as `k31be2a90`. Every new pair has this id, so that different pairs have different ids.
    /// `deploy/compose-secrets` and `deploy/kubernetes/make-secrets` derive it too, because they
    /// run where no program of Latchkey is.
    pub fn of_public_key(public_key: &[u8]) -> Self {
        let mut id = "k".to_owned();
        for byte in public_key.iter().take(4) {
            // Writing into a string does not fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self(id)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKeyId)
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
