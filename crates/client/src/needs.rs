//! Requirements on a token.

use std::time::Duration;

use latchkey_domain::ScopeSet;

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
