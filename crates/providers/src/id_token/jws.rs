//! The parts of a compact JWS (RFC 7515).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use latchkey_jwks::algorithm_of;
use serde_json::{Map, Value};

use crate::claims::Claims;
use crate::{IdTokenError, MAX_TOKEN, Mismatch};

/// Types (`typ`) of an ID token and of a userinfo response.
pub(crate) const ID_TOKEN: &[&str] = &["jwt"];

/// A JWS whose signature is not yet verified.
///
/// The header members `jku`, `x5u`, `x5c` and `jwk` are ignored, because only the key set
/// of the issuer shows which keys the issuer has.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    /// Header and payload as they were signed.
    pub message: &'a str,
    pub signature: &'a str,
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    pub claims: Claims,
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A compact JWE (RFC 7516): five parts, and a header that names the encryption.
fn is_encrypted(token: &str) -> bool {
    let parts = token.bytes().filter(|byte| *byte == b'.').count() + 1;
    let header = token.split('.').next().and_then(object);
    parts == 5 && header.is_some_and(|header| header.contains_key("enc"))
}

impl<'a> Jws<'a> {
    /// Reads a token without verifying it. Its algorithm must be one of `accepted`, and its
    /// type, if it has one, one of `types`.
    pub(crate) fn parse(
        token: &'a str,
        accepted: &[Algorithm],
        types: &[&str],
    ) -> Result<Self, IdTokenError> {
        if token.is_empty() {
            return Err(IdTokenError::Missing);
        }
        if token.len() > MAX_TOKEN {
            return Err(IdTokenError::TooLarge(token.len()));
        }
        if is_encrypted(token) {
            return Err(IdTokenError::Encrypted);
        }
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or(IdTokenError::Malformed("not three parts"))?;
        let (header, payload) = message
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(IdTokenError::Malformed("not three parts"))?;
        let header = object(header).ok_or(IdTokenError::Malformed("header"))?;
        let named = header.get("alg").and_then(Value::as_str);
        let algorithm = named
            .and_then(algorithm_of)
            .filter(|algorithm| accepted.contains(algorithm))
            .ok_or_else(|| {
                let accepted = format!("one of {accepted:?}");
                IdTokenError::Algorithm(Mismatch::new(&accepted, named))
            })?;
        if header.contains_key("crit") {
            return Err(IdTokenError::CriticalExtension);
        }
        // An access token may be a JWT of another type (RFC 9068).
        let is_of_type = header.get("typ").is_none_or(|named| {
            let named = named.as_str().unwrap_or_default();
            types.iter().any(|kind| named.eq_ignore_ascii_case(kind))
        });
        if !is_of_type {
            return Err(IdTokenError::Malformed("another type of token"));
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(IdTokenError::Malformed("key id")),
        };
        let claims = object(payload).ok_or(IdTokenError::Malformed("claims"))?;
        Ok(Self {
            message,
            signature,
            algorithm,
            key_id,
            claims: Claims(claims),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(header: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", encode(header), encode(&json!({"sub": "a"})))
    }

    fn refusal(header: &Value) -> Option<IdTokenError> {
        Jws::parse(&token(header), &[Algorithm::RS256], ID_TOKEN).err()
    }

    #[test]
    fn none_hmac_and_other_algorithms_are_refused() {
        assert_eq!(refusal(&json!({"alg": "RS256"})), None);
        for alg in [
            "none", "None", "NONE", "HS256", "HS512", "ES256", "RS512", "", "rs256",
        ] {
            let refused = refusal(&json!({ "alg": alg }));
            let both = Mismatch::new("one of [RS256]", Some(alg));
            assert_eq!(refused, Some(IdTokenError::Algorithm(both)), "{alg}");
        }
        let none = IdTokenError::Algorithm(Mismatch::new("one of [RS256]", None));
        assert_eq!(refusal(&json!({})), Some(none.clone()));
        assert_eq!(refusal(&json!({"alg": 7})), Some(none));
    }

    #[test]
    fn an_access_token_is_not_an_id_token() {
        assert!(refusal(&json!({"alg": "RS256", "typ": "at+jwt"})).is_some());
        assert_eq!(refusal(&json!({"alg": "RS256", "typ": "jwt"})), None);
    }

    #[test]
    fn a_token_without_three_parts_is_malformed() {
        for text in ["", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "..", "e30.e30."] {
            assert!(
                Jws::parse(text, &[Algorithm::RS256], ID_TOKEN).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn encrypted_tokens_and_large_tokens_have_errors_of_their_own() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
        let refused = |token: &str| Jws::parse(token, &[Algorithm::RS256], ID_TOKEN).unwrap_err();
        assert_eq!(
            refused(&format!("{header}.a.b.c.d")),
            IdTokenError::Encrypted
        );
        let long = "x".repeat(MAX_TOKEN + 1);
        assert_eq!(refused(&long), IdTokenError::TooLarge(MAX_TOKEN + 1));
    }

    #[test]
    fn an_algorithm_that_is_not_supported_is_named() {
        for alg in ["ES512", "Ed448"] {
            let told = refusal(&json!({ "alg": alg })).unwrap().to_string();
            assert!(told.contains(alg), "{told}");
        }
        let named = token(&json!({"alg": "Ed25519"}));
        let jws = Jws::parse(&named, &[Algorithm::EdDSA], ID_TOKEN).unwrap();
        assert_eq!(jws.algorithm, Algorithm::EdDSA);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,120}") {
            let _ = Jws::parse(&text, &[Algorithm::RS256], ID_TOKEN);
        }
    }
}
