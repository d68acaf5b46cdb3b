//! The bytes of a sealed token:
//! `version (1) | length of key id (1) | key id | encapsulated key (32) | ciphertext and tag`.

use crate::{InvalidKeyId, KeyId};

/// Version byte of the envelopes that this crate writes.
pub const VERSION: u8 = 1;

/// Length of an X25519 encapsulated key.
pub const ENCAPSULATED_KEY_BYTES: usize = 32;

/// Length of a Poly1305 tag, which is the shortest ciphertext.
const TAG_BYTES: usize = 16;

/// The bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The envelope was written by a newer version, or the bytes are not an envelope.
    #[error("envelope has version {0}, which is not known here")]
    UnknownVersion(u8),
    /// The envelope is cut off, or the bytes are not an envelope.
    #[error("envelope is cut off or malformed")]
    Malformed,
}

impl From<InvalidKeyId> for EnvelopeError {
    fn from(_: InvalidKeyId) -> Self {
        Self::Malformed
    }
}

/// The parts of a sealed token, which is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Id of the key that opens it.
    pub key_id: KeyId,
    /// HPKE's `enc`.
    pub encapsulated_key: &'a [u8],
    /// Ciphertext with its tag.
    pub ciphertext: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Parses an envelope.
    ///
    /// # Errors
    /// The bytes are not an envelope of a known version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (&version, rest) = bytes.split_first().ok_or(EnvelopeError::Malformed)?;
        if version != VERSION {
            return Err(EnvelopeError::UnknownVersion(version));
        }
        let (&key_id_length, rest) = rest.split_first().ok_or(EnvelopeError::Malformed)?;
        let (key_id, rest) = rest
            .split_at_checked(usize::from(key_id_length))
            .ok_or(EnvelopeError::Malformed)?;
        let (encapsulated_key, ciphertext) = rest
            .split_at_checked(ENCAPSULATED_KEY_BYTES)
            .filter(|(_, ciphertext)| ciphertext.len() >= TAG_BYTES)
            .ok_or(EnvelopeError::Malformed)?;
        Ok(Self {
            key_id: std::str::from_utf8(key_id)
                .map_err(|_| EnvelopeError::Malformed)?
                .parse()?,
            encapsulated_key,
            ciphertext,
        })
    }

    /// The bytes of the envelope.
    pub fn to_bytes(&self) -> Vec<u8> {
        let key_id = self.key_id.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(
            2 + key_id.len() + self.encapsulated_key.len() + self.ciphertext.len(),
        );
        bytes.push(VERSION);
        // A key id has at most 32 characters.
        bytes.push(u8::try_from(key_id.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(key_id);
        bytes.extend_from_slice(self.encapsulated_key);
        bytes.extend_from_slice(self.ciphertext);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_envelope_of_another_version_is_named_as_such() {
        assert_eq!(
            Envelope::parse(&[9, 1, b'k']),
            Err(EnvelopeError::UnknownVersion(9))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::parse(&bytes);
        }

        #[test]
        fn an_envelope_survives_a_round_trip(
            key_id in "[a-zA-Z0-9._-]{1,32}",
            enc in proptest::collection::vec(any::<u8>(), 32),
            ciphertext in proptest::collection::vec(any::<u8>(), 16..100),
        ) {
            let envelope = Envelope {
                key_id: key_id.parse().unwrap(),
                encapsulated_key: &enc,
                ciphertext: &ciphertext,
            };
            let bytes = envelope.to_bytes();
            prop_assert_eq!(Envelope::parse(&bytes), Ok(envelope));
        }
    }
}
