//! The three providers that the demo provider simulates.

use serde::{Deserialize, Serialize};

/// A provider whose behaviour is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Google: no rotation; a refresh token only after the first consent or with
    /// `prompt=consent`; `hd` and `email_verified`.
    Google,
    /// Microsoft Entra ID: tenants in the path, an issuer for each tenant, rotation without
    /// reuse detection, `tid`, `oid`, `xms_edov`, AADSTS codes.
    Microsoft,
    /// A strict OpenID provider: rotation with reuse detection.
    Oidc,
}

impl Flavour {
    /// All flavours.
    pub const ALL: [Self; 3] = [Self::Google, Self::Microsoft, Self::Oidc];

    /// Returns the first segment of its paths, which is also its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Oidc => "oidc",
        }
    }

    /// Returns the flavour with this first path segment.
    pub fn of_path(segment: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.name() == segment)
    }
}

/// An endpoint, by which requests are counted and faults are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The discovery document, `/.well-known/openid-configuration`.
    Discovery,
    /// The key set.
    Jwks,
    /// The authorization endpoint.
    Authorize,
    /// The endpoint of pushed authorization requests (RFC 9126).
    PushedAuthorization,
    /// The token endpoint.
    Token,
    /// The revocation endpoint (RFC 7009).
    Revocation,
    /// The userinfo endpoint.
    Userinfo,
    /// The end session endpoint (RP-Initiated Logout 1.0).
    EndSession,
    /// A client that authenticated at the token endpoint. It is only counted.
    Client,
}

impl Endpoint {
    /// Returns its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Authorize => "authorize",
            Self::PushedAuthorization => "pushed_authorization",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Userinfo => "userinfo",
            Self::EndSession => "end_session",
            Self::Client => "client",
        }
    }
}
