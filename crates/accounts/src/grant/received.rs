//! A grant as an event brings it.

use latchkey_domain::ScopeSet;
use time::OffsetDateTime;

/// The intent of the person at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A plain sign-in.
    SignIn,
    /// A connection that the person asked for.
    Connect,
}

/// The content of a grant that a merge depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// The granted scopes.
    pub scopes: ScopeSet,
    /// Whether the grant has a refresh token.
    pub has_refresh_token: bool,
    /// The intent of the person.
    pub intent: Intent,
}

impl Grant {
    /// The origin of its tokens.
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
    /// The scopes of the token.
    pub scopes: ScopeSet,
}

/// The order of the grants of an account: by the number of data scopes, then by time.
pub type Rank = (usize, OffsetDateTime);

impl Origin {
    /// The rank of a grant with this origin.
    pub fn rank(&self) -> Rank {
        (self.scopes.width(), self.authenticated_at)
    }
}

/// The sealed tokens of a grant. sync-svc stores them and cannot open them.
#[derive(Clone)]
pub struct SealedGrant {
    /// The sealed access token.
    pub access_token: Vec<u8>,
    /// When the access token expires; `None` if the provider did not say.
    pub access_token_expires_at: Option<OffsetDateTime>,
    /// The sealed refresh token; `None` if the provider returned none.
    pub refresh_token: Option<Vec<u8>>,
    /// When the refresh token expires; `None` if the provider did not say.
    pub refresh_token_expires_at: Option<OffsetDateTime>,
    /// The client id that the tokens were issued to; `None` if the event does not say.
    pub client_id: Option<String>,
}

impl std::fmt::Debug for SealedGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedGrant([sealed])")
    }
}
