use std::future::Future;
use std::io;
use std::time::Duration;

/// Time limit of one unit of work of a request: for the connection, the statements and the commit
/// together.
pub const ANSWER: Duration = Duration::from_secs(8);

/// The same for background work, such as deleting old rows.
pub const UNHURRIED: Duration = Duration::from_mins(1);

/// Cancels `work` after `limit`, with an error of the database. Its connection returns to the pool,
/// which closes it unless it responds.
///
/// # Errors
/// Those of `work`; [`io::ErrorKind::TimedOut`] within [`sqlx::Error::Io`].
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(timed_out().into()))
}

pub(super) fn timed_out() -> sqlx::Error {
    let error = io::Error::new(
        io::ErrorKind::TimedOut,
        "the database did not answer in time",
    );
    sqlx::Error::Io(error)
}

pub(super) fn is_time_out(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_given_up_as_an_error_of_the_database() {
        let never = std::future::pending::<Result<(), sqlx::Error>>();
        let error = within(ANSWER, never).await.unwrap_err();
        assert!(is_time_out(&error), "{error}");
    }
}
