//! Random secrets. The source is a parameter, so that nothing uses a hidden generator.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The random number generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness")]
pub struct RandomnessError;

/// The source of every secret that this service creates.
#[derive(Debug, Clone, Default)]
pub struct Randomness(SystemRandom);

impl Randomness {
    /// Returns `N` random bytes.
    ///
    /// # Errors
    /// Returns an error if the generator fails.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomnessError> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).map_err(|_| RandomnessError)?;
        Ok(bytes)
    }

    /// Returns 256 random bits as 43 characters of base64url.
    ///
    /// # Errors
    /// Returns an error if the generator fails.
    pub fn token(&self) -> Result<String, RandomnessError> {
        Ok(URL_SAFE_NO_PAD.encode(self.bytes::<32>()?))
    }
}

/// Returns the SHA-256 of a secret, which the database stores in its place.
pub fn sha256(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}
