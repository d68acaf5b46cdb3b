//! Why a message was not handled.

/// Why a message was not handled. The text becomes a header and a log line: it must not
/// contain a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// A later attempt may succeed: the database is not available, or a lock was lost.
    #[error("to be tried again: {0}")]
    Retry(String),
    /// Another transaction was in the way (SQLSTATE class 40): a serialization failure or a deadlock.
    /// Nothing was committed, and the message is handled again at once.
    #[error("to be tried again at once: {0}")]
    Conflict(String),
    /// The database has no space or no connections left, which no message causes: no attempt is
    /// counted, and consuming pauses.
    #[error("no message can be handled: {0}")]
    Unavailable(String),
    /// No attempt can succeed: the message is malformed or of an unknown version.
    #[error("cannot be handled: {0}")]
    Park(String),
}

impl From<sqlx::Error> for HandleError {
    /// Data that the database can never accept (SQLSTATE class 22, or a violated check) is
    /// parked; any other error may pass.
    fn from(error: sqlx::Error) -> Self {
        const CHECK_VIOLATION: &str = "23514";
        const DISK_FULL: &str = "53100";
        const TOO_MANY_CONNECTIONS: &str = "53300";
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default();
        let reason = error.to_string();
        match code.get(..2) {
            Some("22") => Self::Park(reason),
            Some("40") => Self::Conflict(reason),
            _ if code == DISK_FULL || code == TOO_MANY_CONNECTIONS => Self::Unavailable(reason),
            _ if code == CHECK_VIOLATION => Self::Park(reason),
            _ => Self::Retry(reason),
        }
    }
}
