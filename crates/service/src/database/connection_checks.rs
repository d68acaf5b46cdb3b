//! Which connections stay in a pool, and what the server is told of each.

use std::cell::Cell;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, Postgres};

use super::time_limit::{late, within};

/// A connection that does not answer within this time is closed.
const TEST_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that came back so short a while ago was tested then.
pub const RECENTLY_TESTED: Duration = Duration::from_millis(100);

tokio::task_local! {
    /// Set while the caller of the pool tests the connection itself.
    static IDLE_FOR: Cell<Option<Duration>>;
}

/// Takes a connection from the pool, or gives one back, without the tests that
/// the pool makes: the caller makes its own. Answers also for how long the
/// connection was idle; `None` where it is new.
pub async fn without_tests<T>(work: impl Future<Output = T>) -> (T, Option<Duration>) {
    let watched = async {
        let done = work.await;
        (done, IDLE_FOR.with(Cell::get))
    };
    IDLE_FOR.scope(Cell::new(None), watched).await
}

/// The server's side of each connection gives up too: what a client left behind
/// keeps neither locks nor a backend. `SET` and not a start-up option, which
/// pgbouncer refuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerLimits {
    statement: &'static str,
    lock: &'static str,
    idle_in_transaction: &'static str,
}

impl ServerLimits {
    pub(super) const FOR_A_SERVICE: Self = Self {
        statement: "30s",
        lock: "5s",
        idle_in_transaction: "30s",
    };

    /// Longer than a relay waits for its broker.
    pub(super) const FOR_A_LONG_WAIT: Self = Self {
        idle_in_transaction: "90s",
        ..Self::FOR_A_SERVICE
    };

    pub(super) const FOR_A_COMMAND: Self = Self {
        statement: "0",
        ..Self::FOR_A_SERVICE
    };

    /// A pool that sets these and looks at what comes back.
    pub(super) fn apply_to(self, options: PgPoolOptions) -> PgPoolOptions {
        options
            // Without a limit, and not as sharp as what is below.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(within(TEST_TIMEOUT * 2, self.begin(connection)))
            })
            .before_acquire(|connection, seen| {
                Box::pin(async move {
                    let told = IDLE_FOR.try_with(|idle_for| idle_for.set(Some(seen.idle_for)));
                    if told.is_ok() || seen.idle_for < RECENTLY_TESTED {
                        return Ok(true);
                    }
                    is_usable(connection).await
                })
            })
            .after_release(|connection, _| {
                Box::pin(async move {
                    if IDLE_FOR.try_with(|_| ()).is_ok() {
                        return Ok(true);
                    }
                    is_usable(connection).await
                })
            })
    }

    async fn begin(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "SELECT set_config('statement_timeout', $1, false),
                    set_config('lock_timeout', $2, false),
                    set_config('idle_in_transaction_session_timeout', $3, false),
                    set_config('tcp_keepalives_idle', '30', false),
                    set_config('tcp_keepalives_interval', '5', false),
                    set_config('tcp_keepalives_count', '3', false),
                    set_config('tcp_user_timeout', '30000', false)",
        )
        .bind(self.statement)
        .bind(self.lock)
        .bind(self.idle_in_transaction)
        .execute(&mut *connection)
        .await?;
        if takes_writes(connection).await? {
            Ok(())
        } else {
            Err(sqlx::Error::Protocol(READ_ONLY.to_owned()))
        }
    }
}

const READ_ONLY: &str = "the server is read-only: a standby, or one that was demoted";

/// Whether a connection may stay: it answers, and its server takes writes. One
/// that was dropped in the middle of a statement answers when that has ended.
async fn is_usable(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = tokio::time::timeout(TEST_TIMEOUT, takes_writes(connection));
    let usable = asked.await.unwrap_or_else(|_| Err(timed_out()))?;
    if !usable {
        tracing::warn!(problem = READ_ONLY, "a connection is closed");
    }
    Ok(usable)
}

/// No more to the server than the empty round trip that this stands in for: a
/// prepared statement without a table.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar::<Postgres, bool>(
        "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)",
    )
    .fetch_one(connection)
    .await
}
