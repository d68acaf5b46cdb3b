//! Stylesheet and icon. They are part of the program and named after their content, so that
//! browsers can cache them permanently and never use an old one.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::sha256;

/// A file that browsers may cache permanently.
#[derive(Debug)]
pub struct Asset {
    /// Path of the file: `/auth/assets/latchkey.<hash>.css`
    pub path: String,
    pub(crate) content: &'static str,
    pub(crate) content_type: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, content: &'static str, content_type: &'static str) -> Self {
        // Base64url is shorter than hexadecimal.
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

/// The stylesheet.
pub static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "css",
        include_str!("../../templates/latchkey.css"),
        "text/css; charset=utf-8",
    )
});

/// The icon of the browser tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "latchkey",
        "svg",
        include_str!("../../templates/latchkey.svg"),
        "image/svg+xml",
    )
});
