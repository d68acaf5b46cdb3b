//! What is known about the scopes of one provider.

use std::borrow::Cow;

/// A scope, the scopes that it includes, and the page that documents it.
pub(crate) type Row = (&'static str, &'static [&'static str], &'static str);

/// Facts about the scopes of one provider.
pub(crate) struct Facts {
    /// Name of the provider; empty for the rules of all other providers.
    pub provider: &'static str,
    /// Returns the canonical form of a scope.
    pub canonical: fn(&str) -> Cow<'_, str>,
    pub rows: &'static [Row],
    pub writing: Writing,
}

/// Parts of the names, in lower case, of scopes that allow more than reading.
pub(crate) struct Writing {
    pub change_mail: &'static [&'static str],
    pub send_mail: &'static [&'static str],
    pub change_events: &'static [&'static str],
    /// Scopes that contain a part of `change_events` and allow only reading.
    pub read_events: &'static [&'static str],
}
