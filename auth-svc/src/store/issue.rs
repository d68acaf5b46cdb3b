//! Why a secret could not be issued.

use crate::random::NoRandomness;

/// Why no session or token could be written.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No randomness for the secret.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}
