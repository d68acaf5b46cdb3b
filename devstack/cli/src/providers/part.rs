//! A selection of the steps at Keycloak.

/// A part of the steps at Keycloak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The life of a grant.
    Grants,
    /// The ends of sessions there and here, and the password prompts.
    Sessions,
    /// The client's key.
    Keys,
    /// Pushed authorization requests.
    Pushed,
}
