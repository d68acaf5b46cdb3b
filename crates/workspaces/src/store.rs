//! The SQL of workspaces and of the audit, one module for each family of tables. The SQL stands in
//! the function that runs it.

pub mod audit;
pub mod clock;
pub mod ended_sessions;
pub mod workspace;

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
