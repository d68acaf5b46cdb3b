//! Waiting for a migrated database.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::{StatusError, status};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two checks.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a database is not ready for the services of this release.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Migrations are missing.
    #[error("{missing} of the {known} migrations of this release are not applied yet")]
    Outdated {
        /// Number of migrations that are not applied.
        missing: usize,
        /// Number of migrations of this release.
        known: usize,
    },
    /// The role cannot read which migrations are applied.
    #[error("{}", StatusError::Unreadable)]
    Unreadable,
    /// The database cannot be reached, or it reports an error. The error is part of the text and
    /// no source, because a chain of errors would show it twice.
    #[error("the database cannot be used: {0}")]
    Database(sqlx::Error),
    /// The database does not answer in time.
    #[error("the database does not answer")]
    NoAnswer,
}

impl From<StatusError> for NotReady {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Unreadable => Self::Unreadable,
            StatusError::Database(error) => Self::Database(error),
        }
    }
}

/// Waits until every migration of this release is applied. The database may have further ones of
/// a newer release, which leave this one working. `waiting` is called with each new reason why the
/// database is not ready.
///
/// # Errors
/// The database was not ready within `limit`, for this last reason.
pub async fn wait(
    options: &PgConnectOptions,
    limit: Duration,
    waiting: impl Fn(&NotReady),
) -> Result<(), NotReady> {
    let started = Instant::now();
    let time_left = || limit.saturating_sub(started.elapsed());
    let mut reported = String::new();
    loop {
        let problem = match timeout(time_left().min(CHECK_TIMEOUT), check(options)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => NotReady::NoAnswer,
        };
        if time_left() <= PAUSE {
            return Err(problem);
        }
        let reason = problem.to_string();
        if reason != reported {
            waiting(&problem);
            reported = reason;
        }
        sleep(PAUSE).await;
    }
}

async fn check(options: &PgConnectOptions) -> Result<(), NotReady> {
    let mut connection = PgConnection::connect_with(options)
        .await
        .map_err(NotReady::Database)?;
    let status = status(&mut connection).await?;
    let missing = status.missing().count();
    // The answer is known, so it does not matter how the connection ends.
    let _ = connection.close().await;
    if missing == 0 {
        return Ok(());
    }
    Err(NotReady::Outdated {
        missing,
        known: status.known.len(),
    })
}
