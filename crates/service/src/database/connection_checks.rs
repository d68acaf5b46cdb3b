//! Which connections stay in a pool, and the settings of each connection.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, Postgres};
use tokio::time::{Instant, timeout};

use super::time_limit::{is_time_out, timed_out, within};

/// A connection that does not answer within this time is closed.
const TEST_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that was returned this recently was tested then, or had just committed.
pub const RECENTLY_TESTED: Duration = Duration::from_millis(100);

tokio::task_local! {
    /// Set while the user of the pool tests the connection itself.
    static IDLE_FOR: Cell<Option<Duration>>;
}

/// Acquires a connection from the pool, or returns one, without the tests of the pool, because the
/// caller tests the connection itself. Also returns for how long the connection was idle, or
/// `None` if it is new.
pub async fn without_tests<T>(work: impl Future<Output = T>) -> (T, Option<Duration>) {
    let watched = async {
        let done = work.await;
        (done, IDLE_FOR.with(Cell::get))
    };
    IDLE_FOR.scope(Cell::new(None), watched).await
}

/// Settings of the server for each connection: time limits, so that a client that is gone keeps
/// neither locks nor a backend, and how statements are planned. They are set by `SET`, because
/// pgbouncer refuses start-up options.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerSettings {
    statement_timeout: &'static str,
    lock_timeout: &'static str,
    idle_in_transaction_session_timeout: &'static str,
    plan_cache_mode: &'static str,
    enable_seqscan: &'static str,
}

impl ServerSettings {
    pub(super) const FOR_A_SERVICE: Self = Self {
        statement_timeout: "30s",
        lock_timeout: "5s",
        idle_in_transaction_session_timeout: "30s",
        // Each connection plans a statement once. PostgreSQL would plan it five times, and every
        // time if it has an array with fewer elements than are estimated (decision 42).
        plan_cache_mode: "force_generic_plan",
        // A plan that was made while a table had a few rows must not read the whole table when it
        // has grown (decision 43).
        enable_seqscan: "off",
    };

    /// The limit is longer than a relay waits for the broker.
    pub(super) const FOR_A_LONG_WAIT: Self = Self {
        idle_in_transaction_session_timeout: "90s",
        ..Self::FOR_A_SERVICE
    };

    pub(super) const FOR_A_COMMAND: Self = Self {
        statement_timeout: "0",
        plan_cache_mode: "auto",
        enable_seqscan: "on",
        ..Self::FOR_A_SERVICE
    };

    /// Options of a pool that sets these settings and tests its connections.
    pub(super) fn apply_to(self, options: PgPoolOptions) -> PgPoolOptions {
        let losses = Losses::default();
        options
            // It has no time limit, and does not detect a read-only server.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(within(TEST_TIMEOUT * 2, self.begin(connection)))
            })
            .before_acquire(move |connection, seen| {
                let losses = losses.clone();
                Box::pin(async move {
                    let noted = IDLE_FOR.try_with(|idle_for| idle_for.set(Some(seen.idle_for)));
                    if noted.is_ok() {
                        return Ok(true);
                    }
                    if losses.include_idle(seen.idle_for) {
                        return Err(sqlx::Error::Protocol(LOST_WITH_ANOTHER.to_owned()));
                    }
                    if seen.idle_for < RECENTLY_TESTED {
                        return Ok(true);
                    }
                    let tested_at = Instant::now();
                    let usable = is_usable(connection).await;
                    if usable.as_ref().is_err_and(is_time_out) {
                        losses.note(tested_at);
                    }
                    usable
                })
            })
            .after_release(|connection, _| {
                Box::pin(async move {
                    if IDLE_FOR.try_with(|_| ()).is_ok() {
                        return Ok(true);
                    }
                    // A time-out is not noted as a loss: its last statement may still be running.
                    is_usable(connection).await
                })
            })
    }

    async fn begin(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // `jit`: without `enable_seqscan` the estimate of a statement that no index serves is so
        // high that PostgreSQL would compile it.
        sqlx::query(
            "SELECT set_config('statement_timeout', $1, false),
                    set_config('lock_timeout', $2, false),
                    set_config('idle_in_transaction_session_timeout', $3, false),
                    set_config('plan_cache_mode', $4, false),
                    set_config('enable_seqscan', $5, false),
                    set_config('jit', 'off', false),
                    set_config('tcp_keepalives_idle', '30', false),
                    set_config('tcp_keepalives_interval', '5', false),
                    set_config('tcp_keepalives_count', '3', false),
                    set_config('tcp_user_timeout', '30000', false)",
        )
        .bind(self.statement_timeout)
        .bind(self.lock_timeout)
        .bind(self.idle_in_transaction_session_timeout)
        .bind(self.plan_cache_mode)
        .bind(self.enable_seqscan)
        .execute(&mut *connection)
        .await?;
        if takes_writes(connection).await? {
            Ok(())
        } else {
            Err(sqlx::Error::Protocol(READ_ONLY.to_owned()))
        }
    }
}

const LOST_WITH_ANOTHER: &str =
    "closed without a test: it was idle since before another connection was lost";
const READ_ONLY: &str = "the server is read-only: a standby, or one that was demoted";

/// When connections of a pool were lost without notice. What makes one of them silent, such as a
/// fail-over or a firewall that forgets its connections, does so to those that were idle then, too:
/// they are closed without a test, which would take [`TEST_TIMEOUT`] for each.
#[derive(Debug, Clone, Default)]
struct Losses(Arc<Mutex<Option<Instant>>>);

impl Losses {
    /// An idle connection did not answer the test that began at this time.
    fn note(&self, tested_at: Instant) {
        *self.last() = Some(tested_at);
    }

    /// Returns `true` if a connection has been idle since before the last loss.
    fn include_idle(&self, idle_for: Duration) -> bool {
        self.last().is_some_and(|lost| lost.elapsed() <= idle_for)
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if the connection responds and its server accepts writes. A connection that was
/// dropped during a statement responds after the statement has ended.
async fn is_usable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = timeout(TEST_TIMEOUT, takes_writes(connection));
    let usable = asked.await.unwrap_or_else(|_| Err(timed_out()))?;
    if !usable {
        tracing::warn!(problem = READ_ONLY, "a connection is closed");
    }
    Ok(usable)
}

/// A prepared statement without a table, which costs the server no more than an empty round
/// trip.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar::<Postgres, bool>(
        "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)",
    )
    .fetch_one(connection)
    .await
}
