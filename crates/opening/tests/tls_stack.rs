//! The HPKE of the TLS stack and the one that seals tokens understand each other (decision 26).

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_domain::{AccessToken, GrantBinding};
use latchkey_opening::{OpeningKey, OpeningKeys};
use latchkey_sealing::{Envelope, INFO, TokenKind, associated_data};
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as TLS_STACK;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

fn binding() -> GrantBinding {
    GrantBinding {
        workspace: Uuid::from_u128(1).into(),
        user: Uuid::from_u128(2).into(),
        provider: "google".parse().unwrap(),
        issuer: "https://accounts.google.com".parse().unwrap(),
        subject: "sub-1".parse().unwrap(),
    }
}

/// The key in the text form `<key id>:<base64url>`.
fn key_bytes(text: &str) -> Vec<u8> {
    let (_, key) = text.split_once(':').unwrap();
    BASE64_URL_SAFE_NO_PAD.decode(key).unwrap()
}

proptest! {
    // R35
    #[test]
    fn the_tls_stack_opens_what_was_sealed(token in ".{0,2000}") {
        let key = OpeningKey::generate().unwrap();
        let sealed = key
            .sealing_key()
            .seal_access_token(&AccessToken::new(token.clone()), &binding())
            .unwrap()
            .into_bytes();
        let envelope = Envelope::parse(&sealed).unwrap();
        let private = HpkePrivateKey::from(key_bytes(key.to_secret_text().expose_secret()));
        let opened = TLS_STACK
            .open(
                &EncapsulatedSecret(envelope.encapsulated_key.to_vec()),
                INFO,
                &associated_data(key.id(), TokenKind::Access, &binding()),
                envelope.ciphertext,
                &private,
            )
            .unwrap();
        prop_assert_eq!(opened, token.into_bytes());
    }

    // R35
    #[test]
    fn what_the_tls_stack_sealed_opens(token in ".{1,2000}") {
        let key = OpeningKey::generate().unwrap();
        let public = HpkePublicKey(key_bytes(&key.sealing_key().to_string()));
        let associated_data = associated_data(key.id(), TokenKind::Access, &binding());
        let (encapsulated, ciphertext) = TLS_STACK
            .seal(INFO, &associated_data, token.as_bytes(), &public)
            .unwrap();
        let envelope = Envelope {
            key_id: key.id().clone(),
            encapsulated_key: &encapsulated.0,
            ciphertext: &ciphertext,
        }
        .to_bytes();
        let opened = OpeningKeys::from(key)
            .open_access_token(&envelope, &binding())
            .unwrap();
        prop_assert_eq!(opened.expose(), token.as_str());
    }
}
