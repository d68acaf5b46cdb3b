//! Which of two grants is kept: decided by what the grants say, never by the
//! order in which they arrive.

use latchkey_domain::ScopeSet;
use time::OffsetDateTime;

/// What the decision needs to know of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When the provider authenticated the person.
    pub authenticated_at: OffsetDateTime,
    /// What the grant gives.
    pub scopes: ScopeSet,
    /// Whether it can be refreshed.
    pub has_refresh_token: bool,
}

/// A stored grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// The grant.
    pub grant: Grant,
    /// False where it failed, was erased, or can be neither used nor refreshed.
    pub alive: bool,
}

/// What happens to the stored grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The new grant takes its place whole.
    Replace,
    /// Only the access token is taken: the stored refresh token lives, the new
    /// grant has none.
    TakeAccessToken,
    /// Only the refresh token is taken: an older event brings what the newer
    /// one lacked.
    TakeRefreshToken,
    /// The stored grant stays: the new one is narrower.
    KeepWider,
    /// The stored grant stays: the new one is not newer.
    KeepNewer,
}

/// Decides between the stored grant and the one of an event.
pub fn decide(stored: Option<&StoredGrant>, incoming: &Grant) -> Decision {
    let Some(StoredGrant { grant, alive }) = stored else {
        return Decision::Replace;
    };
    let newer = incoming.authenticated_at > grant.authenticated_at;
    if !alive {
        return if newer {
            Decision::Replace
        } else {
            Decision::KeepNewer
        };
    }
    let covers = incoming.scopes.covers(&grant.scopes);
    let covered = grant.scopes.covers(&incoming.scopes);
    let keeps_refresh_token = incoming.has_refresh_token || !grant.has_refresh_token;
    match (newer, covers) {
        (true, false) => Decision::KeepWider,
        (true, true) if keeps_refresh_token => Decision::Replace,
        (true, true) => Decision::TakeAccessToken,
        // An older event that was overtaken by a plain sign-in: arrived in
        // order, the wider grant would have been kept.
        (false, true) if !covered && keeps_refresh_token => Decision::Replace,
        (false, true) if covered && incoming.has_refresh_token && !grant.has_refresh_token => {
            Decision::TakeRefreshToken
        }
        (false, _) => Decision::KeepNewer,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    fn grant(minute: i64, scopes: &str, has_refresh_token: bool) -> Grant {
        Grant {
            authenticated_at: datetime!(2026-11-24 08:00 UTC) + Duration::minutes(minute),
            scopes: ScopeSet::parse(scopes),
            has_refresh_token,
        }
    }

    fn stored(alive: bool, minute: i64, scopes: &str, has_refresh_token: bool) -> StoredGrant {
        StoredGrant {
            grant: grant(minute, scopes, has_refresh_token),
            alive,
        }
    }

    // R21
    #[test]
    fn an_older_grant_never_overwrites_a_newer_one() {
        let newer = stored(true, 5, "mail", true);
        assert_eq!(
            decide(Some(&newer), &grant(4, "mail", true)),
            Decision::KeepNewer
        );
        assert_eq!(
            decide(Some(&newer), &grant(5, "mail", true)),
            Decision::KeepNewer
        );
    }

    // R21; the replaced system overwrote the mailbox's scopes at every login.
    #[test]
    fn a_plain_sign_in_never_replaces_a_living_mailbox_grant() {
        let wide = stored(true, 0, "openid mail", true);
        assert_eq!(
            decide(Some(&wide), &grant(5, "openid email", true)),
            Decision::KeepWider
        );
    }

    // R22
    #[test]
    fn a_dead_grant_is_replaced_by_any_newer_one_and_by_no_older_one() {
        let dead = stored(false, 5, "mail calendar", true);
        assert_eq!(
            decide(Some(&dead), &grant(6, "mail", false)),
            Decision::Replace
        );
        assert_eq!(
            decide(Some(&dead), &grant(4, "mail calendar more", true)),
            Decision::KeepNewer
        );
    }

    // R5, R31
    #[test]
    fn a_living_refresh_token_is_never_erased() {
        let stored = stored(true, 0, "mail", true);
        assert_eq!(
            decide(Some(&stored), &grant(5, "mail", false)),
            Decision::TakeAccessToken
        );
    }

    // R5
    #[test]
    fn a_refresh_token_that_arrives_late_is_not_lost() {
        let without = stored(true, 5, "mail", false);
        assert_eq!(
            decide(Some(&without), &grant(4, "mail", true)),
            Decision::TakeRefreshToken
        );
    }

    /// What is stored after the events, in this order.
    fn fold(events: &[Grant]) -> Option<Grant> {
        let mut stored: Option<StoredGrant> = None;
        for event in events {
            let decision = decide(stored.as_ref(), event);
            let merged = match (decision, stored.take()) {
                (Decision::Replace, _) | (_, None) => event.clone(),
                (Decision::TakeAccessToken, Some(old)) => Grant {
                    authenticated_at: event.authenticated_at,
                    ..old.grant
                },
                (Decision::TakeRefreshToken, Some(old)) => Grant {
                    has_refresh_token: true,
                    ..old.grant
                },
                (Decision::KeepWider | Decision::KeepNewer, Some(old)) => old.grant,
            };
            stored = Some(StoredGrant {
                grant: merged,
                alive: true,
            });
        }
        stored.map(|stored| stored.grant)
    }

    proptest! {
        // R21: grants that can be compared end the same in every order.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            events in prop::collection::vec((0_i64..6, 0_usize..3), 1..8),
            refresh in any::<bool>(),
            order in any::<prop::sample::Index>(),
        ) {
            let widths = ["openid", "openid mail", "openid mail calendar"];
            let events: Vec<Grant> = events
                .into_iter()
                .map(|(minute, width)| grant(minute, widths[width], refresh))
                .collect();
            let mut turned = events.clone();
            turned.rotate_left(order.index(events.len()));
            let mut reversed = events.clone();
            reversed.reverse();
            let ended = fold(&events);
            prop_assert_eq!(&ended, &fold(&turned));
            prop_assert_eq!(&ended, &fold(&reversed));
            prop_assert_eq!(&ended, &fold(&[events.clone(), reversed].concat()));
        }
    }
}
