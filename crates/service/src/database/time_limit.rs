use std::future::Future;
use std::io;
use std::time::Duration;

/// How long a caller waits for one piece of work of the database: for a
/// connection, for its statements and for the commit.
pub const ANSWER: Duration = Duration::from_secs(8);

/// The same for work that nobody waits for, such as taking old rows away.
pub const UNHURRIED: Duration = Duration::from_mins(1);

/// Gives `work` up after `limit`, as an error of the database. What it held goes
/// back to the pool, which closes it unless it answers.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_given_up_as_an_error_of_the_database() {
        let never = std::future::pending::<Result<(), sqlx::Error>>();
        let error = within(ANSWER, never).await.unwrap_err();
        assert!(
            matches!(&error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut),
            "{error}"
        );
    }
}
