//! The cookie `tokenPair` (R9), for front ends of the replaced system: opt-in,
//! because scripts read a long-lived secret from it.

use serde_json::json;
use url::form_urlencoded;

use crate::session::access_token::Token;

/// Its name.
pub const NAME: &str = "tokenPair";

/// `Set-Cookie` with both tokens. The access token stands under the name of
/// newer front ends and under that of older ones. Without `Max-Age`: what
/// nobody took is gone with the browser.
pub fn set(access: &Token, refresh: &Token) -> String {
    let pair = json!({
        "accessOrWorkspaceAgnosticToken": access,
        "accessToken": access,
        "refreshToken": refresh,
    })
    .to_string();
    // As `encodeURIComponent`, which js-cookie and others undo. JSON has no
    // space here, so none becomes a plus.
    let value: String = form_urlencoded::byte_serialize(pair.as_bytes()).collect();
    format!("{NAME}={value}; Path=/; Secure; SameSite=Lax")
}

/// `Set-Cookie` that removes it.
pub fn removal() -> String {
    format!("{NAME}=; Path=/; Max-Age=0; Secure; SameSite=Lax")
}
