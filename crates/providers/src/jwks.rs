//! Key sets (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use url::Url;

use crate::transport::Http;
use crate::{ProviderError, fields};

/// More keys than any honest issuer publishes.
const MAX_KEYS: usize = 100;

/// More keys than one token is tried with.
const MAX_TRIED: usize = 8;

/// A public key that can verify.
pub(crate) struct Key {
    id: Option<String>,
    /// Issuer that the key is for: Microsoft's extension, `{tenantid}` in it.
    issuer: Option<String>,
    /// `alg`: the only algorithm that the key is for.
    algorithm: Option<String>,
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

/// The keys of an issuer, without those that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

impl Key {
    fn parse(value: &Value) -> Option<Self> {
        let mut plain = value.clone();
        // Read here, so that a name that the library does not know costs no key.
        let named = plain.as_object_mut()?.remove("alg");
        let jwk: Jwk = serde_json::from_value(plain).ok()?;
        let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let asymmetric = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        if !signs || !asymmetric {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: jwk.common.key_id.clone(),
            issuer: text("issuer"),
            algorithm: named.and_then(|name| name.as_str().map(str::to_owned)),
            jwk,
            decoding,
        })
    }

    /// True where the key is of the algorithm's kind, and of no other algorithm.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let kind = match (&self.jwk.algorithm, algorithm) {
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
        };
        let named = self.algorithm.as_deref();
        kind && named.is_none_or(|named| algorithm_of(named) == Some(algorithm))
    }

    /// True where the signature holds.
    pub(crate) fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }
}

impl KeySet {
    /// Fetches a key set.
    pub(crate) async fn fetch(http: &Http, url: &Url) -> Result<Self, ProviderError> {
        let unavailable = ProviderError::KeysUnavailable;
        let answer = http
            .document(url)
            .await
            .map_err(|failure| failure.into_provider_error(unavailable))?;
        if !answer.status.is_success() {
            return Err(unavailable(format!("status {}", answer.status.as_u16())));
        }
        Self::parse(&answer.body).ok_or_else(|| unavailable("no key set".to_owned()))
    }

    /// Reads a key set; keys that cannot be read are passed over.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let document = fields::json(body)?;
        let keys = document.get("keys")?.as_array()?;
        Some(Self {
            keys: keys.iter().take(MAX_KEYS).filter_map(Key::parse).collect(),
        })
    }

    /// The keys that may have signed a token: those of its id, and those without an id,
    /// which nothing else could name. Several may have one id: a provider that replaces
    /// a key shows both for a while. Without an id in the token the only key that fits.
    pub(crate) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        issuer: &dyn Fn(&str) -> bool,
    ) -> Vec<&Key> {
        let fits = |key: &&Key| {
            key.is_for(algorithm)
                && key.issuer.as_deref().is_none_or(issuer)
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        let mut fitting: Vec<&Key> = self.keys.iter().filter(fits).collect();
        if id.is_none() && fitting.len() > 1 {
            fitting.retain(|key| key.id.is_none());
        }
        // The named ones first.
        fitting.sort_by_key(|key| key.id.is_none());
        fitting.truncate(MAX_TRIED);
        fitting
    }
}

/// The algorithm of a name. `Ed25519` is what RFC 9864 calls EdDSA with that curve.
pub(crate) fn algorithm_of(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        name => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn set(keys: &Value) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn finds(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> bool {
        !set.find(id, algorithm, &|_| true).is_empty()
    }

    // oidcc-client-test-kid-absent-single-jwks, -multiple-jwks.
    #[test]
    fn without_an_id_only_a_single_key_fits() {
        let one = json!({"kty": "RSA", "kid": "a", "n": N, "e": "AQAB"});
        let two = json!({"kty": "RSA", "kid": "b", "n": N, "e": "AQAB"});
        let single = set(&json!([one]));
        assert!(finds(&single, None, Algorithm::RS256));
        let multiple = set(&json!([one, two]));
        assert!(!finds(&multiple, None, Algorithm::RS256));
        assert!(finds(&multiple, Some("b"), Algorithm::RS256));
        assert!(!finds(&multiple, Some("c"), Algorithm::RS256));
    }

    #[test]
    fn keys_of_one_id_and_keys_without_one_are_all_tried() {
        let key = |id: Value| json!({"kty": "RSA", "kid": id, "n": N, "e": "AQAB"});
        let bare = json!({"kty": "RSA", "n": N, "e": "AQAB"});
        let count = |keys: Value, id| set(&keys).find(id, Algorithm::RS256, &|_| true).len();
        let twice = json!([key(json!("a")), key(json!("a")), key(json!("b"))]);
        assert_eq!(count(twice, Some("a")), 2);
        assert_eq!(count(json!([bare, key(json!("b"))]), Some("a")), 1);
        assert_eq!(count(json!([bare, bare, key(json!("b"))]), None), 2);
        let many: Vec<Value> = (0..50).map(|_| bare.clone()).collect();
        assert_eq!(count(json!(many), Some("a")), MAX_TRIED);
    }

    // RFC 9864.
    #[test]
    fn a_key_on_curve_25519_has_two_names() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for alg in [json!("EdDSA"), json!("Ed25519"), json!(null)] {
            let keys = set(&json!([
                {"kty": "OKP", "crv": "Ed25519", "kid": "a", "alg": alg, "x": x},
            ]));
            assert!(finds(&keys, Some("a"), Algorithm::EdDSA), "{alg}");
        }
        assert_eq!(algorithm_of("Ed25519"), Some(Algorithm::EdDSA));
        assert_eq!(algorithm_of("Ed448"), None);
    }

    #[test]
    fn keys_that_cannot_be_read_are_passed_over() {
        let keys = set(&json!([
            7, {}, {"kty": "RSA", "kid": "a"}, {"kty": "future", "kid": "a"},
            {"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"},
            {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": N, "e": "AQAB"},
            {"kty": "RSA", "kid": "a", "n": N, "e": "AQAB"},
        ]));
        assert_eq!(keys.keys.len(), 1);
        assert!(finds(&keys, Some("a"), Algorithm::RS256));
    }

    #[test]
    fn a_key_serves_its_own_algorithm_only() {
        let keys = set(&json!([{"kty": "RSA", "kid": "a", "alg": "RS256", "n": N, "e": "AQAB"}]));
        for algorithm in [
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::HS256,
            Algorithm::EdDSA,
        ] {
            assert!(!finds(&keys, Some("a"), algorithm), "{algorithm:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_set_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeySet::parse(&body);
        }

        #[test]
        fn no_key_panics(n in ".{0,30}", x in ".{0,30}", crv in "P-256|P-384|Ed25519|x") {
            let _ = set(&json!([
                {"kty": "RSA", "n": n, "e": x},
                {"kty": "EC", "crv": crv, "x": x, "y": n},
                {"kty": "OKP", "crv": crv, "x": x},
            ]));
        }
    }
}
