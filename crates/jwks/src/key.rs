//! One public key (RFC 7517 section 4).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// A public key that can verify signatures.
pub struct Key {
    id: Option<String>,
    issuer: Option<String>,
    /// The member `alg`.
    named_algorithm: Option<String>,
    jwk: Jwk,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Key {
    pub(crate) fn parse(value: &Value) -> Option<Self> {
        let mut plain = value.clone();
        // The library rejects a key whose `alg` it does not know, so `alg` is read here.
        let named = plain.as_object_mut()?.remove("alg");
        let jwk: Jwk = serde_json::from_value(plain).ok()?;
        let encrypts = matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let symmetric = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        if encrypts || symmetric {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            id: jwk.common.key_id.clone(),
            issuer: value.get("issuer").and_then(text),
            named_algorithm: named.as_ref().and_then(text),
            jwk,
            decoding,
        })
    }

    /// Key id (`kid`).
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Issuer that the key is for: an extension of Microsoft, which may contain
    /// `{tenantid}`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns `true` if the key may verify signatures of this algorithm: it has the
    /// algorithm's type, and its `alg` is absent or names this algorithm.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        let named = self.named_algorithm.as_deref();
        self.has_type_of(algorithm)
            && named.is_none_or(|named| algorithm_of(named) == Some(algorithm))
    }

    /// The one algorithm of the key, for tokens whose header must not choose: the
    /// algorithm that `alg` names. Without `alg` it is RS256 for an RSA key and the
    /// algorithm of the curve for others. `None` if the key cannot verify the named one.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let algorithm = match self.named_algorithm.as_deref() {
            Some(named) => algorithm_of(named)?,
            None => match &self.jwk.algorithm {
                AlgorithmParameters::RSA(_) => Algorithm::RS256,
                AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                    Algorithm::ES256
                }
                AlgorithmParameters::EllipticCurve(_) => Algorithm::ES384,
                _ => Algorithm::EdDSA,
            },
        };
        self.has_type_of(algorithm).then_some(algorithm)
    }

    /// The key for `jsonwebtoken::decode`.
    pub fn decoding_key(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Returns `true` if the signature is valid. `message` is the signed text of a compact
    /// JWS, `signature` its third part.
    pub fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }

    fn has_type_of(&self, algorithm: Algorithm) -> bool {
        match (&self.jwk.algorithm, algorithm) {
            (
                AlgorithmParameters::RSA(_),
                Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512,
            ) => true,
            (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => {
                key.curve == EllipticCurve::P256
            }
            (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => {
                key.curve == EllipticCurve::P384
            }
            (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => {
                key.curve == EllipticCurve::Ed25519
            }
            _ => false,
        }
    }
}

/// The algorithm with this name. RFC 9864 names EdDSA with its curve: `Ed25519`.
pub fn algorithm_of(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}
