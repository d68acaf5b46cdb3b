//! Texts that nobody guesses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `prefix` and 192 random bits.
pub fn new(prefix: &str) -> String {
    let mut bytes = [0_u8; 24];
    // Fails only where the machine has no entropy; then the token is weak, and
    // this is a demonstration.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}
