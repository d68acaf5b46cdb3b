//! The three providers in one.

use serde::{Deserialize, Serialize};

/// Whose behaviour is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Like Google: no rotation, a refresh token only at the first consent or
    /// with `prompt=consent`, `hd` and `email_verified`.
    Google,
    /// Like Microsoft Entra ID: tenants in the path, an issuer per tenant, soft
    /// rotation, `tid`, `oid`, `xms_edov`, AADSTS codes.
    Microsoft,
    /// A strict OpenID provider: rotation with detection of reuse.
    Oidc,
}

impl Flavour {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Google, Self::Microsoft, Self::Oidc];

    /// First segment of its paths, and its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Oidc => "oidc",
        }
    }

    /// The flavour of a path's first segment.
    pub fn of_path(segment: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.name() == segment)
    }
}

/// What a request is for: the unit of counting and of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`.
    Discovery,
    /// The key set.
    Jwks,
    /// The page that asks for consent.
    Authorize,
    /// The token endpoint.
    Token,
    /// The revocation endpoint (RFC 7009).
    Revocation,
    /// The userinfo endpoint.
    Userinfo,
    /// A client that proved itself at the token endpoint; counted alone.
    Client,
}

impl Endpoint {
    /// Its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Userinfo => "userinfo",
            Self::Client => "client",
        }
    }
}
