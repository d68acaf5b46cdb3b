//! A grant as an event brings it.

use latchkey_domain::ScopeSet;
use time::OffsetDateTime;

/// What the person was doing at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A plain sign-in.
    SignIn,
    /// A connection that the person asked for.
    Connect,
}

/// What the decision needs to know of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// What the grant gives.
    pub scopes: ScopeSet,
    /// Whether it can be refreshed.
    pub has_refresh_token: bool,
    /// What the person was doing.
    pub intent: Intent,
}

impl Grant {
    /// Where its tokens come from.
    pub fn origin(&self) -> Origin {
        Origin {
            authenticated_at: self.authenticated_at,
            scopes: self.scopes.clone(),
        }
    }
}

/// The sign-in that a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// What the token gives.
    pub scopes: ScopeSet,
}

/// AccountLocation of a grant among those of its account: wider is higher, then newer.
pub type Rank = (usize, OffsetDateTime);

impl Origin {
    /// The rank of the grant.
    pub fn rank(&self) -> Rank {
        (self.scopes.width(), self.authenticated_at)
    }
}

/// Sealed tokens: carried, never opened.
#[derive(Clone)]
pub struct SealedGrant {
    /// Sealed access token.
    pub access_token: Vec<u8>,
    /// When it expires; none where the provider did not say.
    pub access_token_expires_at: Option<OffsetDateTime>,
    /// Sealed refresh token.
    pub refresh_token: Option<Vec<u8>>,
    /// When the provider ends it; none where the provider did not say.
    pub refresh_token_expires_at: Option<OffsetDateTime>,
    /// The client id that the tokens were given to; none where the event does not say.
    pub client_id: Option<String>,
}

impl std::fmt::Debug for SealedGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedGrant([sealed])")
    }
}
