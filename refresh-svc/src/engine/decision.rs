//! What to do with a request, from what is known: a function without I/O.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::ScopeSet;
use latchkey_providers::{FailureClass, ScopeRules};
use time::OffsetDateTime;

use super::EngineError;
use crate::snapshot::{HeldToken, Snapshot};

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Need {
    /// Least remaining life.
    pub min_remaining: Duration,
    /// Scopes that the grant must have.
    pub scopes: ScopeSet,
    /// Version of a token that the provider's API refused: it and older ones
    /// are no answer.
    pub refused_version: Option<i64>,
    /// The claims challenge of the API that refused it, for the provider (Microsoft).
    pub claims: Option<Arc<str>>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Answer the token at hand.
    Answer,
    /// Answer the token at hand and fetch a new one behind.
    AnswerAndRefresh,
    /// Fetch a new one; the caller waits.
    Refresh,
    /// There is no token and no sense in asking for one.
    Fail(EngineError),
}

/// Decides. `fresher_than` is the version that a refresh was just waited for:
/// what came of it is as fresh as the provider issues, and is answered whatever
/// life was asked for.
pub fn decide(
    snapshot: &Snapshot,
    need: &Need,
    fresher_than: Option<i64>,
    now: OffsetDateTime,
) -> Decision {
    if snapshot.erased {
        return Decision::Fail(EngineError::AccountNotFound);
    }
    if snapshot.dead {
        let class = snapshot
            .failure()
            .map_or(FailureClass::InvalidRefreshToken, |failure| failure.class);
        let error = EngineError::no_token(class, None);
        return Decision::Fail(error.with_claims(snapshot.claims()));
    }
    let missing =
        ScopeRules::of(snapshot.provider()).missing(&snapshot.granted_scopes, &need.scopes);
    if !missing.is_empty() {
        let missing = missing.into_iter().map(str::to_owned).collect();
        return Decision::Fail(EngineError::InsufficientScopes(missing));
    }
    let refused = need
        .refused_version
        .is_some_and(|refused| snapshot.version <= refused);
    let token = snapshot.valid_token(now).filter(|_| !refused);
    let pause = snapshot.backoff_left();

    if let Some(token) = token {
        let fresh = fresher_than.is_some_and(|version| snapshot.version > version);
        let remaining = token.remaining(now);
        if fresh || remaining >= least_life(token, need) {
            let refresh_behind =
                remaining <= token.soft_margin && snapshot.refreshable && pause.is_none();
            return if refresh_behind {
                Decision::AnswerAndRefresh
            } else {
                Decision::Answer
            };
        }
        // Nothing better can be had now: a token that lives shorter than asked
        // serves more than none.
        if pause.is_some() || !snapshot.refreshable {
            return Decision::Answer;
        }
    }
    if let Some((failure, left)) = pause {
        let retry_after = (!failure.class.is_operators()).then_some(left);
        return Decision::Fail(EngineError::no_token(failure.class, retry_after));
    }
    // Callers force one refresh a minute, whatever they ask for: a token that the
    // provider has just given is what there is.
    if snapshot.has_fresh_token(now) && !snapshot.force_left().is_zero() {
        return Decision::Answer;
    }
    Decision::Refresh
}

/// A token that is answered was refreshed less than a minute ago because a caller asked
/// for it, and no fresher one is had before.
pub const REFRESHED_LATELY: &str = "REFRESHED_LATELY";

/// Why a token that is answered is less than what was asked for; nothing where it is not,
/// or where the provider's tokens live no longer.
pub fn shortfall(snapshot: &Snapshot, need: &Need, now: OffsetDateTime) -> Option<&'static str> {
    let token = snapshot.valid_token(now)?;
    let refused = need
        .refused_version
        .is_some_and(|refused| snapshot.version <= refused);
    let short = token.remaining(now) < need.min_remaining && need.min_remaining < token.life;
    if !refused && !short {
        return None;
    }
    match snapshot.backoff_left() {
        Some((failure, _)) => Some(failure.class.reason()),
        None if !snapshot.refreshable => Some(FailureClass::NoRefreshToken.reason()),
        None => (!snapshot.force_left().is_zero()).then_some(REFRESHED_LATELY),
    }
}

/// The life that must be left. Where the provider's tokens never live as long
/// as asked, a token counts as fresh for a fifth of its life: refreshing for
/// every call would not make it live longer.
fn least_life(token: &HeldToken, need: &Need) -> Duration {
    if need.min_remaining < token.life {
        need.min_remaining
    } else {
        token.life * 4 / 5
    }
}

#[cfg(test)]
#[path = "decision/tests.rs"]
mod tests;
