//! The cookie `tokenPair` (R9) for front ends of the replaced system. It is off by
//! default, because scripts can read a long-lived secret from it.

use serde_json::json;
use url::form_urlencoded;

use crate::session::access_token::Token;

/// Name of the cookie.
pub const NAME: &str = "tokenPair";

/// Returns the `Set-Cookie` value with both tokens. The access token has two members,
/// one for newer and one for older front ends. There is no `Max-Age`, so that the cookie
/// is removed when the browser closes.
pub fn set(access: &Token, refresh: &Token) -> String {
    let pair = json!({
        "accessOrWorkspaceAgnosticToken": access,
        "accessToken": access,
        "refreshToken": refresh,
    })
    .to_string();
    // Equal to `encodeURIComponent`, which js-cookie and others decode: the JSON contains
    // no space, which would become a plus sign.
    let value: String = form_urlencoded::byte_serialize(pair.as_bytes()).collect();
    format!("{NAME}={value}; Path=/; Secure; SameSite=Lax")
}

/// Returns the `Set-Cookie` value that removes the cookie.
pub fn removal() -> String {
    format!("{NAME}=; Path=/; Max-Age=0; Secure; SameSite=Lax")
}
