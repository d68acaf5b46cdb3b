//! Keys that are generated for one run.

use anyhow::Context as _;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use latchkey_opening::OpeningKey;
use rand::TryRng as _;
use rand::rngs::SysRng;

/// Keys that are generated for one run.
pub(super) struct Secrets {
    /// Value of `FLOW_COOKIE_KEYS`.
    pub flow_cookie_keys: String,
    /// Value of `SESSION_SIGNING_KEYS`.
    pub session_signing_keys: String,
    /// The private sealing key, which contains the public one.
    pub opening_key: OpeningKey,
}

impl Secrets {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        SysRng
            .try_fill_bytes(&mut key)
            .ok()
            .context("the operating system returned no random bytes")?;
        Ok(Self {
            flow_cookie_keys: format!("k1:{}", BASE64_URL_SAFE_NO_PAD.encode(key)),
            session_signing_keys: signing_key()?,
            opening_key: OpeningKey::generate()?,
        })
    }
}

/// Generates a signing key for access tokens: Ed25519 as PKCS #8.
fn signing_key() -> anyhow::Result<String> {
    let key = Ed25519KeyPair::generate()
        .and_then(|pair| pair.to_pkcs8v1())
        .ok()
        .context("cannot generate a signing key")?;
    Ok(format!("k1:{}", BASE64_STANDARD.encode(key.as_ref())))
}
