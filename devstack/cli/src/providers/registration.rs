//! How Latchkey is registered at a server: the same at each.

pub(super) const CLIENT_ID: &str = "latchkey";
pub(super) const CLIENT_SECRET: &str = "a-secret-that-is-long-enough";

/// Returns the variables with which Latchkey uses the server `name`.
pub(super) fn variables(name: &str, issuer: String) -> Vec<(String, String)> {
    let prefix = format!("AUTH_OIDC_{}_", name.to_uppercase());
    [
        ("ISSUER", issuer),
        ("CLIENT_ID", CLIENT_ID.to_owned()),
        ("CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ("SCOPES", "openid email profile offline_access".to_owned()),
        ("ROTATION", "strict".to_owned()),
    ]
    .into_iter()
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
