//! When the scope for offline access is requested, which makes a provider give a refresh token:
//! `AUTH_OIDC_<NAME>_OFFLINE`.

use latchkey_config::ConfigError;

use crate::reader::Reader;

const VARIABLE: &str = "OFFLINE";

/// When the scope for offline access is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfflineScope {
    /// Always together with data scopes.
    Always,
    /// The same, but a sign-in requests it in a second request, when it is known who came and that the
    /// person has no sufficient grant. Keycloak ends a session that begins with a request for it.
    Afterwards,
    /// Never: some providers refuse a scope that they do not know (Cognito).
    Never,
    /// Together with data scopes, if `scopes_supported` of the discovery document
    /// contains it.
    IfAnnounced,
}

impl OfflineScope {
    /// Reads `…_OFFLINE`.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        if reader.optional(VARIABLE)?.as_deref() == Some("afterwards") {
            return Ok(Self::Afterwards);
        }
        match reader.optional_flag(VARIABLE) {
            Ok(Some(true)) => Ok(Self::Always),
            Ok(Some(false)) => Ok(Self::Never),
            Ok(None) => Ok(Self::IfAnnounced),
            Err(_) => Err(reader.error(VARIABLE, "must be true, false or afterwards")),
        }
    }
}
