//! Where a sign-out ends the session of the person: `AUTH_<P>_SIGN_OUT`.

use latchkey_config::ConfigError;

use crate::reader::Reader;

/// What a sign-out here does at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignOut {
    /// Nothing: the session there goes on.
    Local,
    /// The browser is sent to the end session endpoint (OpenID Connect RP-Initiated Logout 1.0).
    Provider,
}

impl SignOut {
    /// Suffix of the variable.
    pub(crate) const VARIABLE: &'static str = "SIGN_OUT";

    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        match reader.optional(Self::VARIABLE)?.as_deref() {
            None | Some("local") => Ok(Self::Local),
            Some("provider") => Ok(Self::Provider),
            Some(_) => Err(reader.error(Self::VARIABLE, "must be local or provider")),
        }
    }
}
