//! Why a message was not handled.

/// Why a message was not handled. The text becomes a header and a log line: it must not
/// contain a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// A later attempt may succeed: the database is not available, or a lock was lost.
    #[error("to be tried again: {0}")]
    Retry(String),
    /// No attempt can succeed: the message is malformed or of an unknown version.
    #[error("cannot be handled: {0}")]
    Park(String),
}

impl From<sqlx::Error> for HandleError {
    /// Data that the database can never accept (SQLSTATE class 22, or a violated check) is
    /// parked; any other error may pass.
    fn from(error: sqlx::Error) -> Self {
        const CHECK_VIOLATION: &str = "23514";
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        let never = code.is_some_and(|code| code.starts_with("22") || code == CHECK_VIOLATION);
        if never {
            Self::Park(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}
