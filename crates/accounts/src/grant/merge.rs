//! Which parts of two grants are kept. The decision depends on the content of the
//! grants and on what happened to the account, not on the order in which events arrive.
//!
//! A grant has a rank: its number of data scopes, then its time. The access token of
//! the highest rank is kept, and the refresh token of the highest rank among the grants
//! that have one. A maximum does not depend on the order.
//!
//! Two facts are written into the row at the moment at which they happen, so
//! that no sign-in after them can arrive before them: the death of a grant and
//! the disconnect of the account. A death ends the grant that died and every
//! grant from before it that would not have been stored in its place; a
//! disconnect ends every grant from before it, and from then on only a
//! deliberate connection counts, or the repair of a later death.

use time::OffsetDateTime;

use super::received::{Grant, Intent, Origin, Rank};

/// The death of a grant: the provider refused its refresh token, or it had none and its
/// access token expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// The rank of the grant.
    pub rank: Rank,
    /// When the death was found.
    pub at: OffsetDateTime,
    /// Whether a refresh token was refused. If there was none, the death does not end
    /// grants that have one.
    pub of_refresh_token: bool,
}

impl Death {
    /// Returns `true` if this death ended the grant. It ends every older access token
    /// that cannot be refreshed, and every older refresh token that would not have
    /// replaced the one that was refused.
    fn ends(&self, origin: &Origin, has_refresh_token: bool) -> bool {
        let refused = !has_refresh_token || (self.of_refresh_token && origin.rank() <= self.rank);
        origin.authenticated_at <= self.at && refused
    }
}

/// The stored state of an account's grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredGrants {
    /// Origin of the access token; `None` if the tokens were erased.
    pub access: Option<Origin>,
    /// When the access token was issued; after a refresh later than its origin.
    pub access_issued_at: Option<OffsetDateTime>,
    /// Origin of the refresh token.
    pub refresh: Option<Origin>,
    /// When the stored grant died; `None` if it is alive.
    pub died_at: Option<OffsetDateTime>,
    /// Deaths of grants that were replaced afterwards.
    pub deaths: Vec<Death>,
    /// The latest disconnect; `None` if there was none.
    pub not_before: Option<OffsetDateTime>,
}

/// The source of a token of the merged grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The stored token is kept.
    Stored,
    /// The token of the event is stored.
    Incoming,
    /// There is no valid token.
    Nothing,
}

/// The tokens to store after an event; tokens of ended grants are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Source of the access token.
    pub access: Source,
    /// Source of the refresh token.
    pub refresh: Source,
}

/// The decision on a grant of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is stored: the account was disconnected after the event, or has not been
    /// connected deliberately since the disconnect.
    KeepDisconnected,
    /// Nothing is stored: the death of another grant ended the grant of the event.
    KeepDead,
    /// Nothing is stored: both stored tokens have a higher rank.
    KeepStored,
    /// The merged tokens are stored.
    Take(Merged),
}

impl StoredGrants {
    /// Returns `true` if the stored grant can be used.
    pub const fn is_alive(&self) -> bool {
        self.access.is_some() && self.died_at.is_none()
    }

    /// The death of the stored grant; `None` if it is alive.
    pub fn death(&self) -> Option<Death> {
        let origin = self.refresh.as_ref().or(self.access.as_ref())?;
        Some(Death {
            rank: origin.rank(),
            at: self.died_at?,
            of_refresh_token: self.refresh.is_some(),
        })
    }

    fn all_deaths(&self) -> impl Iterator<Item = Death> {
        self.deaths.iter().copied().chain(self.death())
    }

    /// Returns `true` if the grant counts after the latest disconnect: it is a
    /// deliberate connection, or it repairs a connection that died since.
    fn counts_since_disconnect(&self, grant: &Grant) -> bool {
        let at = grant.authenticated_at;
        self.not_before.is_none_or(|not_before| {
            let repairs = || {
                self.all_deaths()
                    .any(|death| death.at > not_before && at > death.at)
            };
            at > not_before && (grant.intent == Intent::Connect || repairs())
        })
    }

    fn ended(&self, origin: &Origin, has_refresh_token: bool) -> bool {
        // A grant of an earlier time may still be stored while a disconnect is in
        // progress.
        let disconnected = self.not_before >= Some(origin.authenticated_at);
        disconnected
            || self
                .all_deaths()
                .any(|death| death.ends(origin, has_refresh_token))
    }

    /// The rank of the stored access token compared with an incoming grant. For a grant
    /// that has no refresh token, a refreshed access token is as new as its refresh.
    fn access_rank(&self, incoming: &Grant) -> Option<Rank> {
        let origin = self.access.as_ref()?;
        let refreshes = self.refresh.as_ref().is_some_and(|it| it == origin);
        if self.ended(origin, refreshes) {
            return None;
        }
        let (width, at) = origin.rank();
        let issued = self
            .access_issued_at
            .filter(|_| !incoming.has_refresh_token);
        Some((width, issued.map_or(at, |issued| issued.max(at))))
    }

    fn refresh_rank(&self) -> Option<Rank> {
        let origin = self.refresh.as_ref()?;
        (!self.ended(origin, true)).then(|| origin.rank())
    }
}

/// Decides between the stored grants, if any, and the grant of an event.
pub fn decide(stored: Option<&StoredGrants>, incoming: &Grant) -> Decision {
    let nothing = StoredGrants::default();
    let stored = stored.unwrap_or(&nothing);
    if !stored.counts_since_disconnect(incoming) {
        return Decision::KeepDisconnected;
    }
    let origin = incoming.origin();
    if stored.ended(&origin, incoming.has_refresh_token) {
        return Decision::KeepDead;
    }
    let taken = |stored: Option<Rank>| match stored {
        Some(stored) if stored >= origin.rank() => Source::Stored,
        _ => Source::Incoming,
    };
    let access = taken(stored.access_rank(incoming));
    let refresh = match stored.refresh_rank() {
        stored if incoming.has_refresh_token => taken(stored),
        Some(_) => Source::Stored,
        None => Source::Nothing,
    };
    if access == Source::Stored && refresh != Source::Incoming {
        return Decision::KeepStored;
    }
    Decision::Take(Merged { access, refresh })
}

#[cfg(test)]
mod tests;
