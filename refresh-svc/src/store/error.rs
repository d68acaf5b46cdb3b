//! Errors of the store.

use std::time::Duration;

use latchkey_domain::AccountId;

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or refuses the statement.
    #[error("the database does not answer: {0}")]
    Database(#[from] sqlx::Error),
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
