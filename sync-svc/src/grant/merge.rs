//! Which parts of two grants are kept: decided by what the grants say and by
//! what happened to the account, never by the order in which events arrive.
//!
//! A grant has a rank: its number of data scopes, then its time. The access
//! token is that of the highest rank, the refresh token that of the highest
//! rank among the grants that have one. A maximum does not depend on an order.
//!
//! Two facts are written into the row at the moment at which they happen, so
//! that no sign-in after them can arrive before them: the death of a grant and
//! the disconnect of the account. A death ends the grant that died and every
//! grant from before it that would not have been stored in its place; a
//! disconnect ends every grant from before it, and from then on only a
//! deliberate connection counts, or the repair of a later death.

use time::OffsetDateTime;

use super::received::{Grant, Intent, Origin, Rank};

/// The end of a grant that the provider refused, or that had no refresh token
/// and whose access token expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// Rank of the grant.
    pub rank: Rank,
    /// When it was found dead.
    pub at: OffsetDateTime,
    /// Whether a refresh token was refused. Otherwise there was none, which
    /// says nothing about a grant that has one.
    pub of_refresh_token: bool,
}

impl Death {
    /// Returns `true` if the grant ended with this death. An access token that
    /// cannot be refreshed always does; a refresh token does unless it would
    /// have been stored in the place of the one that was refused.
    fn ends(&self, origin: &Origin, has_refresh_token: bool) -> bool {
        let refused = !has_refresh_token || (self.of_refresh_token && origin.rank() <= self.rank);
        origin.authenticated_at <= self.at && refused
    }
}

/// What is stored of an account's grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredGrants {
    /// Origin of the access token; absent if the credentials were erased.
    pub access: Option<Origin>,
    /// When the access token was issued: later than its origin after a refresh.
    pub access_issued_at: Option<OffsetDateTime>,
    /// Origin of the refresh token.
    pub refresh: Option<Origin>,
    /// When the stored grant died, if it did.
    pub died_at: Option<OffsetDateTime>,
    /// Deaths of grants that were replaced since.
    pub deaths: Vec<Death>,
    /// The latest disconnect.
    pub not_before: Option<OffsetDateTime>,
}

/// Where a token of the merged grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The stored one stays.
    Stored,
    /// That of the event is taken.
    Incoming,
    /// No living one is known.
    Nothing,
}

/// The tokens after an event. They are alive: what ended is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The access token.
    pub access: Source,
    /// The refresh token.
    pub refresh: Source,
}

/// What happens to the stored grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the account was disconnected after the event, or was not
    /// connected deliberately since.
    KeepDisconnected,
    /// Nothing: the grant of the event ended with one that died.
    KeepDead,
    /// Nothing: both stored tokens are of a higher rank.
    KeepStored,
    /// The tokens are stored anew.
    Take(Merged),
}

impl StoredGrants {
    /// Returns `true` if the stored grant can be used.
    pub const fn is_alive(&self) -> bool {
        self.access.is_some() && self.died_at.is_none()
    }

    /// The death of the stored grant.
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

    /// After a disconnect only a deliberate connection counts, and a sign-in
    /// that repairs what was connected so and died.
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
        // Stored for as long as a disconnect is under way.
        let disconnected = self.not_before >= Some(origin.authenticated_at);
        disconnected
            || self
                .all_deaths()
                .any(|death| death.ends(origin, has_refresh_token))
    }

    /// The stored access token's rank towards a grant. A token from a refresh
    /// is as new as the refresh for a grant that could not be refreshed itself.
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

/// Decides between what is stored, if anything, and the grant of an event.
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
