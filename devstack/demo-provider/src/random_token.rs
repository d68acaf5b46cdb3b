//! Random codes, tokens and ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns `prefix` with 192 random bits in Base64.
pub fn new(prefix: &str) -> String {
    let mut bytes = [0_u8; 24];
    // This only fails without entropy. A weak token is acceptable in a demonstration.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}
