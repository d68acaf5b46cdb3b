//! What a pending must bring home.

use std::time::Duration;

use latchkey_domain::ScopeSet;

/// What a caller needs of a token; callers with equal needs share an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) min_remaining: Duration,
    /// Asked for by name, so that nothing less will do.
    pub(crate) minimum_is_explicit: bool,
    pub(crate) scopes: ScopeSet,
    /// Version that the provider's API refused.
    pub(crate) newer_than: Option<i64>,
}
