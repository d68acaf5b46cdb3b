//! Database access, one module for each family of tables. The SQL stands in the function
//! that runs it.

pub mod audit;
pub mod cleanup;
pub mod grant;
pub mod identity;
pub mod session;
pub mod used_flow;
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
