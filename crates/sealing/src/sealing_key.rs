//! The public key, which seals.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hpke::{Deserializable as _, Kem as _, OpModeS, Serializable as _};
use latchkey_domain::{
    AccessToken, GrantBinding, RefreshToken, SealedAccessToken, SealedRefreshToken,
};
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};

use crate::{Aead, Envelope, INFO, Kdf, Kem, KeyId, TokenKind, associated_data};

/// Longest token that is sealed, in bytes. Real tokens are shorter than 8 KiB; the limit keeps a
/// provider from filling the database or a message.
pub const MAX_TOKEN_BYTES: usize = 256 * 1024;

/// The text is not a sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealing key must read <key id>:<43 characters of base64url>, as `refresh-svc keys generate` prints it"
)]
pub struct InvalidSealingKey;

/// Why a token could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The token is longer than [`MAX_TOKEN_BYTES`].
    #[error("token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// The operating system provided no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// The cipher failed.
    #[error("the token could not be sealed")]
    Cipher,
}

/// A key whose id is not the one that is derived from it. It stays valid, because stored tokens
/// name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderivedId {
    /// The id of the key.
    pub id: KeyId,
    /// The id that is derived from the key.
    pub derived: KeyId,
}

impl fmt::Display for UnderivedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "key {} has another id than {}, which is derived from it, so that another key may have \
             the same id: keep it as long as it seals tokens, and rotate to a key of \
             `refresh-svc keys generate`",
            self.id, self.derived
        )
    }
}

/// The public key of refresh-svc, which seals and cannot open. It is not a secret. Its text is
/// `<key id>:<base64url>`.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    id: KeyId,
    public_key: <Kem as hpke::Kem>::PublicKey,
}

impl SealingKey {
    /// A public key with its id.
    ///
    /// # Errors
    /// The key does not have 32 bytes, or is a point of low order, which gives every sender the
    /// same secret.
    pub fn new(id: KeyId, public_key: &[u8]) -> Result<Self, InvalidSealingKey> {
        let public_key =
            <Kem as hpke::Kem>::PublicKey::from_bytes(public_key).map_err(|_| InvalidSealingKey)?;
        // The shared secret with a point of low order is all zeros, and HPKE refuses it. The
        // probe detects that now and not at the first sign-in. Its key is not a secret.
        let (probe, _) = Kem::derive_keypair(&[7; 32]);
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&public_key.to_bytes())
            .map_err(|_| InvalidSealingKey)?;
        hpke::setup_receiver::<Aead, Kdf, Kem>(&hpke::OpModeR::Base, &probe, &encapsulated, INFO)
            .map_err(|_| InvalidSealingKey)?;
        Ok(Self { id, public_key })
    }

    /// A public key with the id that is derived from it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_derived_id(public_key: &[u8]) -> Result<Self, InvalidSealingKey> {
        Self::new(KeyId::of_public_key(public_key), public_key)
    }

    /// The id of the key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The id that is derived from the key, which older keys do not have.
    pub fn derived_id(&self) -> KeyId {
        KeyId::of_public_key(&self.public_key.to_bytes())
    }

    /// What to tell the operator if the id of the key is not the derived one.
    pub fn underived_id(&self) -> Option<UnderivedId> {
        let derived = self.derived_id();
        (self.id != derived).then(|| UnderivedId {
            id: self.id.clone(),
            derived,
        })
    }

    /// Seals an access token for its owner.
    ///
    /// # Errors
    /// The token is too long, or the operating system provided no randomness.
    pub fn seal_access_token(
        &self,
        token: &AccessToken,
        binding: &GrantBinding,
    ) -> Result<SealedAccessToken, SealError> {
        self.seal(token.expose().as_bytes(), TokenKind::Access, binding)
            .map(SealedAccessToken::new)
    }

    /// Seals a refresh token for its owner.
    ///
    /// # Errors
    /// The token is too long, or the operating system provided no randomness.
    pub fn seal_refresh_token(
        &self,
        token: &RefreshToken,
        binding: &GrantBinding,
    ) -> Result<SealedRefreshToken, SealError> {
        self.seal(token.expose().as_bytes(), TokenKind::Refresh, binding)
            .map(SealedRefreshToken::new)
    }

    fn seal(
        &self,
        token: &[u8],
        kind: TokenKind,
        binding: &GrantBinding,
    ) -> Result<Vec<u8>, SealError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(SealError::TooLong);
        }
        let mut randomness =
            StdRng::try_from_rng(&mut SysRng).map_err(|_| SealError::NoRandomness)?;
        let (encapsulated_key, ciphertext) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            &self.public_key,
            INFO,
            token,
            &associated_data(&self.id, kind, binding),
            &mut randomness,
        )
        .map_err(|_| SealError::Cipher)?;
        Ok(Envelope {
            key_id: self.id.clone(),
            encapsulated_key: &encapsulated_key.to_bytes(),
            ciphertext: &ciphertext,
        }
        .to_bytes())
    }
}

impl FromStr for SealingKey {
    type Err = InvalidSealingKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, key) = text.trim().split_once(':').ok_or(InvalidSealingKey)?;
        let id = id.parse().map_err(|_| InvalidSealingKey)?;
        let key = BASE64_URL_SAFE_NO_PAD
            .decode(key)
            .map_err(|_| InvalidSealingKey)?;
        Self::new(id, &key)
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_URL_SAFE_NO_PAD.encode(self.public_key.to_bytes());
        write!(f, "{}:{key}", self.id)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_point_of_low_order_is_no_key() {
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            let id = "weak".parse().unwrap();
            assert_eq!(SealingKey::new(id, &weak), Err(InvalidSealingKey));
        }
    }

    #[test]
    fn an_id_that_is_not_derived_from_the_key_is_told_and_valid() {
        let (_, public_key) = Kem::derive_keypair(&[1; 32]);
        let public_key = public_key.to_bytes();
        let derived = SealingKey::with_derived_id(&public_key).unwrap();
        assert_eq!(derived.underived_id(), None);
        let named = SealingKey::new("k1".parse().unwrap(), &public_key).unwrap();
        let told = named.underived_id().unwrap().to_string();
        assert!(told.starts_with("key k1 has another id than k"), "{told}");
        assert!(told.contains(derived.id().as_str()), "{told}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = text.parse::<SealingKey>();
        }

        #[test]
        fn text_and_key_are_one(seed in any::<[u8; 32]>(), id in "[a-z0-9]{1,32}") {
            let (_, public_key) = Kem::derive_keypair(&seed);
            let key = SealingKey::new(id.parse().unwrap(), &public_key.to_bytes()).unwrap();
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
