//! The private keys: the current one and earlier ones.

use std::str::FromStr;

use latchkey_domain::{AccessToken, GrantBinding, RefreshToken};
use latchkey_sealing::{Envelope, EnvelopeError, KeyId, SealingKey, TokenKind, associated_data};
use zeroize::Zeroizing;

use crate::{InvalidOpeningKey, OpeningKey};

/// Why an envelope did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not an envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope is sealed to a key that is not configured.
    #[error("sealed to key {0}, which is not in SEALING_PRIVATE_KEYS")]
    UnknownKey(KeyId),
    /// The envelope was changed, or sealed for another kind of token or another owner.
    #[error("the envelope was changed, or was sealed for another account or kind of token")]
    Refused,
}

/// The private keys of refresh-svc. New tokens are sealed to the first, which is the current
/// one. The others open tokens that were sealed before a rotation.
#[derive(Debug, Clone)]
pub struct OpeningKeys {
    current: OpeningKey,
    earlier: Vec<OpeningKey>,
}

impl OpeningKeys {
    /// The current key and the earlier ones.
    ///
    /// # Errors
    /// Two keys have the same id.
    pub fn new(current: OpeningKey, earlier: Vec<OpeningKey>) -> Result<Self, InvalidOpeningKey> {
        let mut ids: Vec<&KeyId> = earlier.iter().map(OpeningKey::id).collect();
        ids.push(current.id());
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(InvalidOpeningKey);
        }
        Ok(Self { current, earlier })
    }

    /// The key that new tokens are sealed to.
    pub fn sealing_key(&self) -> &SealingKey {
        self.current.sealing_key()
    }

    /// The ids of the keys, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.sealing_keys().map(SealingKey::id)
    }

    /// The public keys, the current one first.
    pub fn sealing_keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current)
            .chain(&self.earlier)
            .map(OpeningKey::sealing_key)
    }

    /// Opens an access token that was sealed for this owner.
    ///
    /// # Errors
    /// It was sealed for another owner, or its key is not configured.
    pub fn open_access_token(
        &self,
        envelope: &[u8],
        binding: &GrantBinding,
    ) -> Result<AccessToken, OpenError> {
        let text = self.open(envelope, TokenKind::Access, binding)?;
        Ok(AccessToken::new(utf8(&text)?))
    }

    /// Opens a refresh token that was sealed for this owner.
    ///
    /// # Errors
    /// It was sealed for another owner, or its key is not configured.
    pub fn open_refresh_token(
        &self,
        envelope: &[u8],
        binding: &GrantBinding,
    ) -> Result<RefreshToken, OpenError> {
        let text = self.open(envelope, TokenKind::Refresh, binding)?;
        Ok(RefreshToken::new(utf8(&text)?))
    }

    fn open(
        &self,
        bytes: &[u8],
        kind: TokenKind,
        binding: &GrantBinding,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let envelope = Envelope::parse(bytes)?;
        let key = std::iter::once(&self.current)
            .chain(&self.earlier)
            .find(|key| *key.id() == envelope.key_id)
            .ok_or_else(|| OpenError::UnknownKey(envelope.key_id.clone()))?;
        key.open(
            envelope.encapsulated_key,
            envelope.ciphertext,
            &associated_data(&envelope.key_id, kind, binding),
        )
        .ok_or(OpenError::Refused)
    }
}

/// The text is a comma-separated list of `<key id>:<base64url>`, the current key first.
impl FromStr for OpeningKeys {
    type Err = InvalidOpeningKey;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let mut keys = list
            .split([',', ' ', '\n', '\t', '\r'])
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<OpeningKey>, _>>()?
            .into_iter();
        let current = keys.next().ok_or(InvalidOpeningKey)?;
        Self::new(current, keys.collect())
    }
}

impl From<OpeningKey> for OpeningKeys {
    fn from(current: OpeningKey) -> Self {
        Self {
            current,
            earlier: Vec::new(),
        }
    }
}

/// The id of the key that an envelope is sealed to, without opening it.
///
/// # Errors
/// The bytes are not an envelope.
pub fn key_id_of(envelope: &[u8]) -> Result<KeyId, OpenError> {
    Ok(Envelope::parse(envelope)?.key_id)
}

fn utf8(bytes: &[u8]) -> Result<&str, OpenError> {
    std::str::from_utf8(bytes).map_err(|_| OpenError::Refused)
}
