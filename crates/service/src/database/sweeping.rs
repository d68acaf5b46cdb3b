//! Deletes rows that no index finds: every row of the table is looked at, a window at a time. A
//! statement for the whole table would exceed its time limit once the table is large enough, and
//! would delete nothing from then on.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::time_limit::{UNHURRIED, within};

/// [`SWEEP_WINDOW`] as a part of a statement. The planner has to know the number: for a parameter it
/// assumes a tenth of the table, and reads the whole table to join so many rows.
#[macro_export]
macro_rules! sweep_window {
    () => {
        1000
    };
}

/// Maximum number of rows that one statement of a [`Sweep`] looks at.
pub const SWEEP_WINDOW: i64 = sweep_window!();

/// The time between two windows.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between the end of the table and the next look at its beginning.
const EVERY: Duration = Duration::from_mins(10);

/// A walk through a table that deletes (or erases) the rows that are no longer needed. Several
/// replicas may walk at the same time.
pub trait Sweep: Sized + Send {
    /// What is deleted, for the log.
    fn what(&self) -> &'static str;

    /// Looks at the next [`SWEEP_WINDOW`] rows and skips those that are locked. Returns `false` at
    /// the end of the table, and begins again then.
    ///
    /// # Errors
    /// Returns the database's error.
    fn delete_next(
        &mut self,
        pool: &PgPool,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Walks to the end of the table, without pauses.
    ///
    /// # Errors
    /// Returns the database's error.
    fn run_once(mut self, pool: &PgPool) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async move {
            while self.delete_next(pool).await? {}
            Ok(())
        }
    }

    /// Walks through the table again and again until `stop` is cancelled.
    fn run(mut self, pool: PgPool, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        async move {
            loop {
                let next = within(UNHURRIED, self.delete_next(&pool));
                let pause = match stop.run_until_cancelled(next).await {
                    Some(Ok(true)) => PAUSE,
                    Some(Ok(false)) => EVERY,
                    Some(Err(error)) => {
                        tracing::warn!(what = self.what(), %error, "old rows were not deleted");
                        EVERY
                    }
                    None => return,
                };
                let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                if slept.is_none() {
                    return;
                }
            }
        }
    }
}
