//! Errors of functions that create a secret and store its hash.

use crate::random::RandomnessError;

/// Why a secret was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The random number generator failed.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The database failed or is not reachable.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}
