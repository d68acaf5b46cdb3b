//! The private key, which opens.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hpke::{Deserializable as _, Kem as _, OpModeR, Serializable as _};
use latchkey_sealing::{Aead, INFO, InvalidSealingKey, Kdf, Kem, KeyId, SealingKey};
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The text is not an opening key. It is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an opening key must read <key id>:<43 characters of base64url>, as `refresh-svc keys generate` prints it"
)]
pub struct InvalidOpeningKey;

impl From<InvalidSealingKey> for InvalidOpeningKey {
    fn from(_: InvalidSealingKey) -> Self {
        Self
    }
}

/// The operating system provided no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct GenerateError;

/// A private key with its id and its public key. Wiped when it is dropped.
#[derive(Clone)]
pub struct OpeningKey {
    private_key: <Kem as hpke::Kem>::PrivateKey,
    sealing_key: SealingKey,
}

impl OpeningKey {
    /// A new key pair. Its id is derived from the public key, so that different pairs have
    /// different ids.
    ///
    /// # Errors
    /// The operating system provided no randomness.
    pub fn generate() -> Result<Self, GenerateError> {
        let mut material = Zeroizing::new([0; 32]);
        SysRng
            .try_fill_bytes(material.as_mut_slice())
            .map_err(|_| GenerateError)?;
        let (private_key, public_key) = Kem::derive_keypair(material.as_slice());
        let sealing_key =
            SealingKey::with_derived_id(&public_key.to_bytes()).map_err(|_| GenerateError)?;
        Ok(Self {
            private_key,
            sealing_key,
        })
    }

    /// The id of the key pair.
    pub fn id(&self) -> &KeyId {
        self.sealing_key.id()
    }

    /// The public key, for `SEALING_PUBLIC_KEY` of auth-svc.
    pub fn sealing_key(&self) -> &SealingKey {
        &self.sealing_key
    }

    /// The private key as text for `SEALING_PRIVATE_KEYS`: `<key id>:<base64url>`.
    pub fn to_secret_text(&self) -> SecretString {
        let mut bytes = Zeroizing::new([0; 32]);
        self.private_key.write_exact(bytes.as_mut_slice());
        let encoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        SecretString::from(format!("{}:{}", self.id(), encoded.as_str()))
    }

    pub(crate) fn open(
        &self,
        encapsulated_key: &[u8],
        ciphertext: &[u8],
        associated_data: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let encapsulated_key =
            <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated_key).ok()?;
        hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &self.private_key,
            &encapsulated_key,
            INFO,
            ciphertext,
            associated_data,
        )
        .ok()
        .map(Zeroizing::new)
    }
}

impl FromStr for OpeningKey {
    type Err = InvalidOpeningKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, key) = text.trim().split_once(':').ok_or(InvalidOpeningKey)?;
        let id: KeyId = id.parse().map_err(|_| InvalidOpeningKey)?;
        let key = Zeroizing::new(
            BASE64_URL_SAFE_NO_PAD
                .decode(key)
                .map_err(|_| InvalidOpeningKey)?,
        );
        let private_key =
            <Kem as hpke::Kem>::PrivateKey::from_bytes(&key).map_err(|_| InvalidOpeningKey)?;
        let public_key = Kem::sk_to_pk(&private_key);
        Ok(Self {
            private_key,
            sealing_key: SealingKey::new(id, &public_key.to_bytes())?,
        })
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey({}, [redacted])", self.id())
    }
}
