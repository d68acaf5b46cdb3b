//! When a token is sufficient, when it is refreshed ahead, and jitter.

use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState};
use std::time::Duration;

use latchkey_domain::ScopeSet;
use time::OffsetDateTime;

use crate::Token;
use crate::request::MAX_MINIMUM;

/// What a caller needs of a token. Callers with equal needs share an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) min_remaining: Duration,
    /// The request states the minimum explicitly, so a fallback must meet it too.
    pub(crate) minimum_is_explicit: bool,
    pub(crate) scopes: ScopeSet,
    /// Version that the provider's API refused.
    pub(crate) newer_than: Option<i64>,
}

/// Margins of a token's life.
#[derive(Debug, Clone)]
pub(crate) struct Freshness {
    pub(crate) soft_margin: Duration,
    pub(crate) confirm_after: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            soft_margin: Duration::from_mins(5),
            confirm_after: Duration::from_mins(5),
        }
    }
}

impl Freshness {
    /// Threshold of the background refresh before callers reach their minimum: the soft
    /// margin or 20 % of the token's life, whichever is less, times 0.8 to 1.2 by
    /// jitter.
    pub(crate) fn refresh_ahead(
        &self,
        token: &Token,
        min_remaining: Duration,
        jitter: Jitter,
    ) -> RefreshAhead {
        let random = jitter.fraction(&(token.account_id(), token.version()));
        let margin = self.soft_margin.min(token.life() / 5);
        let threshold = least(token, min_remaining) + margin.mul_f64(0.8 + 0.4 * random);
        RefreshAhead {
            threshold,
            // More life than the current token has; otherwise the service would return
            // it again.
            ask: threshold.max(min_remaining).min(MAX_MINIMUM),
        }
    }
}

/// A refresh ahead of the minimum.
pub(crate) struct RefreshAhead {
    /// Remaining life at which it is due.
    pub(crate) threshold: Duration,
    /// Minimum life to request.
    pub(crate) ask: Duration,
}

/// Returns `true` if the token meets the needs.
pub(crate) fn meets(token: &Token, needs: &Needs, now: OffsetDateTime) -> bool {
    let remaining = token.remaining(now);
    remaining > Duration::ZERO
        && remaining >= least(token, needs.min_remaining)
        && meets_besides_life(token, needs)
}

/// Returns `true` if the token meets the needs except for its remaining life.
pub(crate) fn meets_besides_life(token: &Token, needs: &Needs) -> bool {
    token.satisfies(&needs.scopes)
        && needs
            .newer_than
            .is_none_or(|refused| token.version() > refused)
}

/// If the service returned less life than requested, the provider's tokens live shorter.
/// Then half of their life is sufficient; otherwise every call would cause a refresh.
fn least(token: &Token, min_remaining: Duration) -> Duration {
    if token.life() < token.asked_minimum() {
        min_remaining.min(token.life() / 2)
    } else {
        min_remaining
    }
}

/// Pseudo-randomness derived from a seed and a key: lock-free, and reproducible in
/// tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter {
    seed: u64,
}

impl Jitter {
    /// Seeded once by the operating system.
    pub(crate) fn from_process() -> Self {
        Self::from_seed(RandomState::new().hash_one(0_u8))
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { seed }
    }

    /// From 0 inclusive to 1 exclusive.
    pub(crate) fn fraction(self, of: &impl Hash) -> f64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        of.hash(&mut hasher);
        let bits = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use latchkey_domain::AccountId;
    use latchkey_proto::token as proto;

    use super::*;
    use crate::token::Provenance;

    fn token(life: u64, asked: u64) -> Token {
        let account = AccountId::generate();
        let answer = proto::AccessToken {
            access_token: "secret".to_owned(),
            expires_at: Some(prost_types::Timestamp {
                seconds: i64::try_from(life).unwrap(),
                nanos: 0,
            }),
            account_id: account.to_string(),
            version: 1,
            ..proto::AccessToken::default()
        };
        let provenance = Provenance {
            asked_as: account.into(),
            asked_minimum: Duration::from_secs(asked),
            replacement: false,
            received_at: OffsetDateTime::UNIX_EPOCH,
        };
        Token::from_answer(Some(answer), provenance).unwrap()
    }

    fn needs(min_remaining: u64) -> Needs {
        Needs {
            min_remaining: Duration::from_secs(min_remaining),
            minimum_is_explicit: false,
            scopes: ScopeSet::default(),
            newer_than: None,
        }
    }

    // R32: the service names the provider of the scopes; an older service does not.
    #[test]
    fn a_wider_scope_in_memory_serves_who_asks_for_a_narrower_one() {
        let held = |provider: &str| {
            let answer = proto::AccessToken {
                access_token: "secret".to_owned(),
                expires_at: Some(prost_types::Timestamp {
                    seconds: 3600,
                    nanos: 0,
                }),
                account_id: AccountId::generate().to_string(),
                version: 1,
                granted_scopes: vec!["Mail.ReadWrite".to_owned()],
                provider: provider.to_owned(),
                ..proto::AccessToken::default()
            };
            let provenance = Provenance {
                asked_as: AccountId::generate().into(),
                asked_minimum: Duration::from_mins(1),
                replacement: false,
                received_at: OffsetDateTime::UNIX_EPOCH,
            };
            Token::from_answer(Some(answer), provenance).unwrap()
        };
        let reading = Needs {
            scopes: ScopeSet::parse("https://graph.microsoft.com/mail.read"),
            ..needs(60)
        };
        assert!(meets(&held("microsoft"), &reading, at(0)));
        assert!(!meets(&held("demo"), &reading, at(0)));
        assert!(!meets(&held(""), &reading, at(0)));
    }

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)
    }

    #[test]
    fn the_soft_margin_is_a_fifth_of_a_short_life_and_bounded_for_a_long_one() {
        for seed in 0..100 {
            let ahead = |life| {
                let minimum = Duration::from_mins(1);
                let jitter = Jitter::from_seed(seed);
                let ahead = Freshness::default().refresh_ahead(&token(life, 60), minimum, jitter);
                ahead.threshold.as_secs()
            };
            assert!((60 + 240..=60 + 360).contains(&ahead(3600)));
            assert!((60 + 48..=60 + 72).contains(&ahead(300)));
        }
    }

    #[test]
    fn a_refresh_ahead_never_asks_for_more_than_the_contract_allows() {
        let minimum = MAX_MINIMUM;
        let ahead =
            Freshness::default().refresh_ahead(&token(7200, 3600), minimum, Jitter::from_seed(1));
        assert_eq!(ahead.ask, MAX_MINIMUM);
    }

    #[test]
    fn half_of_a_life_that_is_shorter_than_the_minimum_will_do() {
        let short = token(40, 60);
        assert!(meets(&short, &needs(60), at(20)));
        assert!(!meets(&short, &needs(60), at(21)));
    }

    #[test]
    fn a_token_that_was_not_asked_to_live_longer_says_nothing_of_the_provider() {
        let cached_elsewhere = token(40, 30);
        assert!(!meets(&cached_elsewhere, &needs(60), at(0)));
    }

    #[test]
    fn chance_is_spread_and_repeats_with_its_seed() {
        let fraction = |seed, of: u32| Jitter::from_seed(seed).fraction(&of);
        assert_eq!(fraction(1, 1).to_bits(), fraction(1, 1).to_bits());
        let low = (0..1000).filter(|&of| fraction(7, of) < 0.5).count();
        assert!((400..600).contains(&low), "{low}");
        assert!((0..1000).all(|of| (0.0..1.0).contains(&fraction(7, of))));
    }
}
