//! SHA-256 (FIPS 180-4), for the names of content.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// Returns the SHA-256 of the bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}
