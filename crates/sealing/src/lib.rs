//! Grants sealed to refresh-svc: HPKE base mode (RFC 9180) with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305.
//!
//! This crate only seals. A service that links it can store and forward a grant and cannot open
//! it. Only refresh-svc links `latchkey-opening`, which opens.

mod aad;
mod envelope;
mod key_id;
mod sealing_key;

pub use aad::{TokenKind, associated_data};
pub use envelope::{ENCAPSULATED_KEY_BYTES, Envelope, EnvelopeError, VERSION};
pub use key_id::{InvalidKeyId, KeyId};
pub use sealing_key::{InvalidSealingKey, MAX_TOKEN_BYTES, SealError, SealingKey, UnderivedId};

/// The key encapsulation of every envelope.
pub type Kem = hpke::kem::X25519HkdfSha256;
/// The key derivation of every envelope.
pub type Kdf = hpke::kdf::HkdfSha256;
/// The cipher of every envelope.
pub type Aead = hpke::aead::ChaCha20Poly1305;

/// HPKE's `info`, which keeps envelopes of other protocols from opening.
pub const INFO: &[u8] = b"latchkey sealed token v1";
