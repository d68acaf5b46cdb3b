//! Errors of the store.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;

/// Errors of the store. Cheap to clone: all calls that a statement was for share its error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or refuses the statement.
    #[error("the database does not answer: {0}")]
    Database(#[source] Arc<sqlx::Error>),
    /// The database did not answer in time.
    #[error("the database did not answer within {0:?}")]
    Late(Duration),
    /// A row cannot be parsed.
    #[error("the stored grant of account {account} cannot be parsed: {problem}")]
    Unreadable {
        /// The account.
        account: AccountId,
        /// Which part is invalid.
        problem: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}
