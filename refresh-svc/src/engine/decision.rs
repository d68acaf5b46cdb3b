//! Decides how a token request is handled: a function without I/O.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::ScopeSet;
use latchkey_providers::{FailureClass, ScopeRules};
use time::OffsetDateTime;

use super::EngineError;
use crate::snapshot::{HeldToken, Snapshot};

/// What a caller requests.
#[derive(Debug, Clone)]
pub struct Need {
    /// Least remaining life.
    pub min_remaining: Duration,
    /// Scopes that the grant must have.
    pub scopes: ScopeSet,
    /// Version of a token that the provider's API refused. This and older versions are
    /// not answered.
    pub refused_version: Option<i64>,
    /// Claims challenge of the API that refused the token, for the provider (Microsoft).
    pub claims: Option<Arc<str>>,
}

/// How a request is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Answer the current token.
    Answer,
    /// Answer the current token and refresh in the background.
    AnswerAndRefresh,
    /// Refresh while the caller waits.
    Refresh,
    /// There is no token, and a refresh would not help now.
    Fail(EngineError),
}

/// Decides. `fresher_than` is the version before a refresh that this request has waited
/// for: its result is as fresh as the provider issues tokens, and is answered regardless
/// of the requested life.
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
        let error = EngineError::no_token(class);
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
        // A refresh is not possible now: a token that lives shorter than requested is
        // better than an error.
        if pause.is_some() || !snapshot.refreshable {
            return Decision::Answer;
        }
    }
    if let Some((failure, left)) = pause {
        return Decision::Fail(EngineError::backing_off(failure.class, left));
    }
    // Callers force at most one refresh a minute: the provider has just issued this
    // token.
    if snapshot.has_fresh_token(now) && !snapshot.force_left().is_zero() {
        return Decision::Answer;
    }
    Decision::Refresh
}

/// The answered token was refreshed less than a minute ago because a caller forced it,
/// and callers cannot force another refresh yet.
pub const REFRESHED_LATELY: &str = "REFRESHED_LATELY";

/// Returns why the answered token is less than what was requested. `None` if it is not
/// less, or if the provider's tokens do not live longer.
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

/// The required remaining life. If the provider's tokens never live as long as
/// requested, a token counts as fresh for a fifth of its life: refreshing at every call
/// would not help.
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
