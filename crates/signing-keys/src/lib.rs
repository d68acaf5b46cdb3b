//! Keys that sign access tokens (R14). The first key signs; all keys verify and are
//! published. So a new key can be published before it signs, and an old key can stay
//! until the tokens that it signed have expired.
//!
//! The keys with which Latchkey authenticates at a provider have the same form.

mod problem;

pub use problem::problem_of;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

/// Maximum length of a key id in bytes.
const MAX_KEY_ID: usize = 64;

/// The lines around a PKCS #8 key in PEM (RFC 7468 section 10).
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Accepts base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returned if a text is not a list of signing keys. The message never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a comma-separated list of <key id>:<base64 of a PKCS #8 key, Ed25519, P-256, P-384 \
     or RSA of 2048 to 8192 bits>, key ids unique, or such keys in PEM: see `latchkey keys generate`"
)]
pub struct InvalidSigningKeys;

/// Returned if a key pair cannot be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot be generated")]
pub struct KeyNotMade;

/// One key pair. `Debug` prints only its id and algorithm.
#[derive(Clone)]
pub struct SigningKey {
    /// `kid` in the header of the tokens that it signs.
    pub id: String,
    /// `EdDSA`, `ES256`, `ES384` or `RS256`.
    pub algorithm: Algorithm,
    signing: EncodingKey,
    verifying: DecodingKey,
    jwk: Value,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.id, self.algorithm)
    }
}

impl SigningKey {
    /// Reads a PKCS #8 key. Without an id, its thumbprint (RFC 7638) becomes the id.
    fn from_pkcs8(id: Option<&str>, der: &[u8]) -> Result<Self, InvalidSigningKeys> {
        let (algorithm, signing, verifying, mut jwk) = ed25519(der)
            .or_else(|| elliptic(der, &P256))
            .or_else(|| elliptic(der, &P384))
            .or_else(|| rsa(der))
            .ok_or(InvalidSigningKeys)?;
        let id = match id {
            Some(id) if is_valid_key_id(id) => id.to_owned(),
            Some(_) => return Err(InvalidSigningKeys),
            // RFC 7638 hashes the members in this order, without spaces.
            None => URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.to_string().as_bytes())),
        };
        for (name, value) in [
            ("kid", json!(id)),
            ("use", json!("sig")),
            ("alg", json!(algorithm)),
        ] {
            jwk[name] = value;
        }
        Ok(Self {
            id,
            algorithm,
            signing,
            verifying,
            jwk,
        })
    }

    /// The private key.
    pub const fn signing(&self) -> &EncodingKey {
        &self.signing
    }

    /// The public key.
    pub const fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    /// The public key as a JWK (RFC 7517 section 4).
    pub const fn jwk(&self) -> &Value {
        &self.jwk
    }
}

type Parts = (Algorithm, EncodingKey, DecodingKey, Value);

fn ed25519(der: &[u8]) -> Option<Parts> {
    let pair = Ed25519KeyPair::from_pkcs8(der).ok()?;
    let public = pair.public_key().as_ref();
    let x = URL_SAFE_NO_PAD.encode(public);
    Some((
        Algorithm::EdDSA,
        EncodingKey::from_ed_der(der),
        DecodingKey::from_ed_der(public),
        json!({ "crv": "Ed25519", "kty": "OKP", "x": x }),
    ))
}

/// A curve of the National Institute of Standards and Technology (RFC 7518 section 6.2.1.1).
struct Curve {
    name: &'static str,
    algorithm: Algorithm,
    signing: &'static EcdsaSigningAlgorithm,
    /// Length of a coordinate in bytes.
    coordinate: usize,
}

const P256: Curve = Curve {
    name: "P-256",
    algorithm: Algorithm::ES256,
    signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
    coordinate: 32,
};
const P384: Curve = Curve {
    name: "P-384",
    algorithm: Algorithm::ES384,
    signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
    coordinate: 48,
};

fn elliptic(der: &[u8], curve: &Curve) -> Option<Parts> {
    let pair = EcdsaKeyPair::from_pkcs8(curve.signing, der).ok()?;
    // SEC 1 section 2.3.3: 0x04, then both coordinates.
    let point = pair.public_key().as_ref().get(1..)?;
    let (x, y) = point.split_at_checked(curve.coordinate)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Some((
        curve.algorithm,
        EncodingKey::from_ec_der(der),
        DecodingKey::from_ec_components(&x, &y).ok()?,
        json!({ "crv": curve.name, "kty": "EC", "x": x, "y": y }),
    ))
}

fn rsa(der: &[u8]) -> Option<Parts> {
    let pair = rsa::KeyPair::from_pkcs8(der).ok()?;
    let public = pair.public_key();
    let (n, e) = (
        URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
        URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
    );
    // `from_rsa_der` takes PKCS #1; the reader of PEM takes PKCS #8.
    let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der));
    Some((
        Algorithm::RS256,
        EncodingKey::from_rsa_pem(pem.as_bytes()).ok()?,
        DecodingKey::from_rsa_components(&n, &e).ok()?,
        json!({ "e": e, "kty": "RSA", "n": n }),
    ))
}

fn is_valid_key_id(id: &str) -> bool {
    (1..=MAX_KEY_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The signing keys of a deployment. There is at least one.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    first: SigningKey,
    others: Arc<[SigningKey]>,
}

impl SigningKeys {
    /// The key that signs.
    pub const fn current(&self) -> &SigningKey {
        &self.first
    }

    /// Returns the key with this id.
    pub fn get(&self, id: &str) -> Option<&SigningKey> {
        self.iter().find(|key| key.id == id)
    }

    /// Returns the algorithms of the keys, that of the key that signs first.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for key in self.iter() {
            if !algorithms.contains(&key.algorithm) {
                algorithms.push(key.algorithm);
            }
        }
        algorithms
    }

    /// Returns the public keys as a JWK set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let keys: Vec<&Value> = self.iter().map(|key| &key.jwk).collect();
        json!({ "keys": keys })
    }

    /// Returns the keys, the one that signs first.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.first).chain(self.others.iter())
    }
}

impl FromStr for SigningKeys {
    type Err = InvalidSigningKeys;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let keys = if text.contains("-----BEGIN") {
            parse_pem(text)?
        } else {
            parse_list(text)?
        };
        for (index, key) in keys.iter().enumerate() {
            if keys.iter().take(index).any(|other| other.id == key.id) {
                return Err(InvalidSigningKeys);
            }
        }
        let mut keys = keys.into_iter();
        Ok(Self {
            first: keys.next().ok_or(InvalidSigningKeys)?,
            others: keys.collect(),
        })
    }
}

fn parse_list(text: &str) -> Result<Vec<SigningKey>, InvalidSigningKeys> {
    text.split([',', ' ', '\n', '\r', '\t'])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (id, key) = part.split_once(':').ok_or(InvalidSigningKeys)?;
            SigningKey::from_pkcs8(Some(id), &decode(key)?)
        })
        .collect()
}

fn parse_pem(text: &str) -> Result<Vec<SigningKey>, InvalidSigningKeys> {
    text.split(BEGIN)
        .skip(1)
        .map(|rest| {
            let (body, _) = rest.split_once(END).ok_or(InvalidSigningKeys)?;
            let body: String = body.split_whitespace().collect();
            SigningKey::from_pkcs8(None, &decode(&body)?)
        })
        .collect()
}

/// Decodes base64 or base64url.
fn decode(text: &str) -> Result<Vec<u8>, InvalidSigningKeys> {
    let text = text.replace('-', "+").replace('_', "/");
    LENIENT.decode(text).map_err(|_| InvalidSigningKeys)
}

/// Generates a key in the form that `SESSION_SIGNING_KEYS` takes: `<key id>:<base64 of
/// PKCS #8>`. Without an id, the start of its thumbprint becomes the id.
///
/// # Errors
/// Returns an error if there is no randomness or the id is invalid.
pub fn generate(algorithm: Algorithm, id: Option<&str>) -> Result<String, KeyNotMade> {
    let der = match algorithm {
        Algorithm::ES256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
        Algorithm::RS256 => rsa::KeyPair::generate(KeySize::Rsa3072)
            .and_then(|pair| pair.as_der())
            .map(|document| document.as_ref().to_vec()),
        // OpenSSL writes version 1, and every library reads it.
        _ => Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
    }
    .map_err(|_| KeyNotMade)?;
    let key = SigningKey::from_pkcs8(id, &der).map_err(|_| KeyNotMade)?;
    let name = id.unwrap_or_else(|| key.id.get(..12).unwrap_or(&key.id));
    Ok(format!("{name}:{}", STANDARD.encode(der)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_read_back_in_their_order() {
        let keys = format!(
            "{},{}",
            generate(Algorithm::ES256, Some("new")).unwrap(),
            generate(Algorithm::EdDSA, Some("old")).unwrap()
        );
        let keys = format!(
            "{keys},{}",
            generate(Algorithm::RS256, Some("rsa")).unwrap()
        );
        let keys: SigningKeys = keys.parse().unwrap();
        assert_eq!(keys.current().id, "new");
        assert_eq!(keys.current().algorithm, Algorithm::ES256);
        assert_eq!(keys.get("old").unwrap().algorithm, Algorithm::EdDSA);
        assert_eq!(keys.get("rsa").unwrap().algorithm, Algorithm::RS256);
        assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 3);
        let algorithms = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];
        assert_eq!(keys.algorithms(), algorithms);
    }

    #[test]
    fn the_jwk_set_contains_no_private_key() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            let keys: SigningKeys = generate(algorithm, Some("k")).unwrap().parse().unwrap();
            for member in ["d", "p", "q", "dp", "dq", "qi"] {
                assert_eq!(keys.jwks()["keys"][0].get(member), None);
            }
        }
    }

    #[test]
    fn an_rsa_key_below_2048_bits_is_refused() {
        // openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024
        let pem = include_str!("rsa-1024.pem");
        assert_eq!(pem.parse::<SigningKeys>().err(), Some(InvalidSigningKeys));
    }

    #[test]
    fn a_pem_file_names_its_keys_by_their_thumbprint() {
        // Private key and public key of RFC 8037 appendix A, thumbprint of A.3.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
        let keys: SigningKeys = pem.parse().unwrap();
        assert_eq!(
            keys.current().id,
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_text_that_is_not_a_list_of_keys_is_refused() {
        let key = generate(Algorithm::EdDSA, Some("k")).unwrap();
        for text in [
            "",
            "k",
            "k:",
            "k:AAAA",
            "-----BEGIN PRIVATE KEY-----",
            &format!("{key},{key}"),
            &key.replace("k:", "a b:"),
        ] {
            assert_eq!(text.parse::<SigningKeys>().err(), Some(InvalidSigningKeys));
        }
    }
}
