//! Signing keys: RS256 for Google and Microsoft, ES256 for the strict provider.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::random_token;

/// A key cannot be generated or used.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the signing key cannot be generated or used")]
pub struct KeyError;

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// A key pair with its id.
#[derive(Clone)]
pub struct SigningKey {
    /// Key id (`kid`).
    pub id: String,
    pair: Arc<Pair>,
}

impl SigningKey {
    /// Generates an RSA key of 2048 bits.
    pub fn rsa() -> Result<Self, KeyError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError)?;
        Ok(Self {
            id: random_token::new("kid-"),
            pair: Arc::new(Pair::Rsa(pair)),
        })
    }

    /// Returns an RSA key that this process generates only once, because that is slow.
    pub fn shared_rsa(number: usize) -> Result<Self, KeyError> {
        static KEYS: [Mutex<Option<SigningKey>>; 3] = [const { Mutex::new(None) }; 3];
        let mut key = KEYS
            .get(number)
            .ok_or(KeyError)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*key {
            Some(key) => Ok(key.clone()),
            None => Ok(key.insert(Self::rsa()?).clone()),
        }
    }

    /// Generates a key on P-256.
    pub fn ec() -> Result<Self, KeyError> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError)?;
        Ok(Self {
            id: random_token::new("kid-"),
            pair: Arc::new(Pair::Ec(pair)),
        })
    }

    /// Returns `RS256` or `ES256`.
    pub fn algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        }
    }

    /// Returns an algorithm that a relying party must not accept for this key.
    pub fn other_algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::Rsa(_) => "RS512",
            Pair::Ec(_) => "RS256",
        }
    }

    /// Returns the public key as a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        match &*self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = rsa_components(pair.public_key().as_ref());
                json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
                    "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
                })
            }
            Pair::Ec(pair) => {
                // An uncompressed point is the byte 4, x and y.
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                json!({
                    "kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": self.id,
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                })
            }
        }
    }

    /// Returns the bytes of the public key, which a confused verifier uses as an HMAC secret.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Returns the private key as PEM of PKCS #8.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let der = match &*self.pair {
            Pair::Rsa(pair) => pair.as_der().map(|der| der.as_ref().to_vec()),
            Pair::Ec(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
        };
        let text = STANDARD.encode(der.map_err(|_| KeyError)?);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .collect();
        Ok(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        ))
    }

    /// Signs a message in the form of JWS (RFC 7515).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&RSA_PKCS1_SHA256, message)
    }

    /// Signs a message with [`SigningKey::other_algorithm`] if the key supports it.
    pub fn sign_with_other_algorithm(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&RSA_PKCS1_SHA512, message)
    }

    fn sign_with(
        &self,
        rsa: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let rng = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa, &rng, message, &mut signature)
                    .map_err(|_| KeyError)?;
                Ok(signature)
            }
            Pair::Ec(pair) => pair
                .sign(&rng, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError),
        }
    }
}

/// Parses modulus and exponent from `SEQUENCE { INTEGER, INTEGER }` (PKCS #1).
fn rsa_components(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (_, sequence, _) = der_element(der);
    let (_, modulus, rest) = der_element(sequence);
    let (_, exponent, _) = der_element(rest);
    let unsigned = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    (unsigned(modulus), unsigned(exponent))
}

/// Returns the tag and content of a DER element, and the rest of the input.
fn der_element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let tag = der.first().copied().unwrap_or_default();
    let first = der.get(1).copied().unwrap_or_default();
    let (length, start) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        let bytes = der.get(2..2 + count).unwrap_or_default();
        let length = bytes
            .iter()
            .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        (length, 2 + count)
    };
    let content = der.get(start..start + length).unwrap_or_default();
    (tag, content, der.get(start + length..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    #[test]
    fn a_published_rsa_key_verifies_what_was_signed() {
        let key = SigningKey::rsa().unwrap();
        let jwk = key.jwk();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        RsaPublicKeyComponents {
            n: part("n"),
            e: part("e"),
        }
        .verify(
            &RSA_PKCS1_2048_8192_SHA256,
            b"hello",
            &key.sign(b"hello").unwrap(),
        )
        .unwrap();
    }
}
