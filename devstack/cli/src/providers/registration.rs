//! How Latchkey is registered at a server: the same at each.

use anyhow::Context as _;
use latchkey_signing_keys::{Algorithm, generate};

pub(super) const CLIENT_ID: &str = "latchkey";
pub(super) const CLIENT_SECRET: &str = "a-secret-that-is-long-enough";

/// Returns the variables with which Latchkey uses the server `name`.
pub(super) fn variables(name: &str, issuer: String) -> Vec<(String, String)> {
    let values = [
        ("CLIENT_SECRET", CLIENT_SECRET),
        ("SCOPES", "openid email profile offline_access"),
    ];
    variables_with(
        name,
        issuer,
        values.map(|(name, value)| (name, value.to_owned())),
    )
}

/// Returns the variables with which Latchkey uses the server `name`: those of every server, and `more`.
pub(super) fn variables_with(
    name: &str,
    issuer: String,
    more: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<(String, String)> {
    let prefix = format!("AUTH_OIDC_{}_", name.to_uppercase());
    [
        ("ISSUER", issuer),
        ("CLIENT_ID", CLIENT_ID.to_owned()),
        ("ROTATION", "strict".to_owned()),
    ]
    .into_iter()
    .chain(more)
    .map(|(variable, value)| (format!("{prefix}{variable}"), value))
    .collect()
}

/// Returns the redirect URIs of the server `name`.
pub(super) fn redirect_uris(public_url: &str, name: &str) -> [String; 2] {
    [
        format!("{public_url}/auth/oidc/{name}/redirect"),
        format!("{public_url}/auth/oidc-apis/{name}/get-access-token"),
    ]
}

/// Returns the URI to which the server `name` sends a browser back after a sign-out.
pub(super) fn signed_out_uri(public_url: &str, name: &str) -> String {
    format!("{public_url}/auth/oidc/{name}/signed-out")
}

/// Returns the back-channel logout URL for the server `name`.
pub(super) fn backchannel_logout_url(public_url: &str, name: &str) -> String {
    format!("{public_url}/auth/oidc/{name}/backchannel-logout")
}

/// Returns the URL of the client's public keys.
pub(super) fn client_keys_url(public_url: &str) -> String {
    format!("{public_url}/.well-known/client-jwks.json")
}

/// Generates a key of the client with this id.
pub(super) fn new_key(id: &str) -> anyhow::Result<String> {
    generate(Algorithm::ES256, Some(id)).context("cannot generate a key of the client")
}
