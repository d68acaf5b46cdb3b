//! Keys of one run.

use anyhow::Context as _;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use latchkey_opening::OpeningKey;
use rand::TryRng as _;
use rand::rngs::SysRng;

/// Keys of one run.
pub(super) struct Secrets {
    /// `FLOW_COOKIE_KEYS`.
    pub flow_cookie_keys: String,
    /// `SESSION_SIGNING_KEYS`.
    pub session_signing_keys: String,
    /// Both halves of the sealing key.
    pub opening_key: OpeningKey,
}

impl Secrets {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        SysRng
            .try_fill_bytes(&mut key)
            .ok()
            .context("the operating system gave no randomness")?;
        Ok(Self {
            flow_cookie_keys: format!("k1:{}", BASE64_URL_SAFE_NO_PAD.encode(key)),
            session_signing_keys: signing_key()?,
            opening_key: OpeningKey::generate()?,
        })
    }
}

/// A key for access tokens: PKCS #8 of Ed25519.
fn signing_key() -> anyhow::Result<String> {
    let key = Ed25519KeyPair::generate()
        .and_then(|pair| pair.to_pkcs8v1())
        .ok()
        .context("no signing key could be made")?;
    Ok(format!("k1:{}", BASE64_STANDARD.encode(key.as_ref())))
}
