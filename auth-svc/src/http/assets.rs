//! Stylesheet and icon: part of the program, named after their content, so
//! that browsers keep them for good and never keep an old one.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::sha256;

/// A file that browsers may keep for good.
#[derive(Debug)]
pub struct Asset {
    /// `/auth/assets/latchkey.<hash>.css`
    pub path: String,
    pub(crate) content: &'static str,
    pub(crate) content_type: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, content: &'static str, content_type: &'static str) -> Self {
        // Base64url: as good in an address as hexadecimal, and shorter.
        let hash: String = URL_SAFE_NO_PAD
            .encode(sha256(content))
            .chars()
            .take(12)
            .collect();
        Self {
            path: format!("/auth/assets/{name}.{hash}.{extension}"),
            content,
            content_type,
        }
    }
}

/// The one stylesheet.
pub static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "css",
        include_str!("../../templates/latchkey.css"),
        "text/css; charset=utf-8",
    )
});

/// The icon of the browser's tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "svg",
        include_str!("../../templates/latchkey.svg"),
        "image/svg+xml",
    )
});
