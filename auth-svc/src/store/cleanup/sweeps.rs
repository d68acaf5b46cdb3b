//! Rows that are no longer needed and that no index finds: whether a session is idle depends on the
//! time that its workspace allows, and whether a family has tokens on another table.

use latchkey_service::database::{SWEEP_WINDOW, Sweep};
use latchkey_service::sweep_window;
use sqlx::PgPool;
use uuid::Uuid;

/// A walk through a table in the order of its ids.
#[derive(Debug)]
pub(super) struct ById {
    what: &'static str,
    /// Looks at the next rows after the id `$1`; returns the id of the last one, and their number.
    statement: &'static str,
    after: Uuid,
}

impl ById {
    const fn new(what: &'static str, statement: &'static str) -> Self {
        Self {
            what,
            statement,
            after: Uuid::nil(),
        }
    }
}

/// The statement that looks at a window of `$table` and applies `$change` to the rows `t` that are
/// `$due`. It skips those that are locked.
macro_rules! window {
    ($table:literal, $change:literal, $($due:tt)+) => {
        concat!(
            "WITH seen AS MATERIALIZED (
                 SELECT id FROM ", $table, " WHERE id > $1 ORDER BY id LIMIT ", sweep_window!(), "
             ), due AS (
                 SELECT t.id FROM seen JOIN ", $table, " t ON t.id = seen.id
                 WHERE ", $($due)+, "
                 FOR UPDATE OF t SKIP LOCKED
             ), done AS (
                 ", $change, " WHERE id IN (SELECT id FROM due)
             )
             SELECT id, (SELECT count(*) FROM seen) FROM seen ORDER BY id DESC LIMIT 1"
        )
    };
}

/// Whether the session `t` has been idle for longer than it may be, and for `$longer` beyond that. An idle
/// session cannot be used any more by its cookie or by a refresh token.
macro_rules! idle {
    ($longer:literal) => {
        concat!(
            "t.last_seen_at < now() - t.idle_for - interval '",
            $longer,
            "' AND NOT EXISTS (SELECT FROM auth.refresh_family f
                               WHERE f.session_id = t.id AND f.ended_at IS NULL)"
        )
    };
}

/// The walks, each from the beginning of its table.
pub(super) const SWEEPS: [ById; 3] = [
    ById::new(
        "idle sessions",
        window!("auth.session", "DELETE FROM auth.session", idle!("7 days")),
    ),
    ById::new(
        "ID tokens of idle sessions",
        window!(
            "auth.session",
            "UPDATE auth.session SET sealed_id_token = NULL",
            concat!("t.sealed_id_token IS NOT NULL AND ", idle!("0 days"))
        ),
    ),
    ById::new(
        // A family is kept as long as one of its tokens.
        "refresh families without tokens",
        window!(
            "auth.refresh_family",
            "DELETE FROM auth.refresh_family",
            "t.created_at < now() - interval '1 day'
             AND NOT EXISTS (SELECT FROM auth.refresh_token r WHERE r.family_id = t.id)"
        ),
    ),
];

impl Sweep for ById {
    fn what(&self) -> &'static str {
        self.what
    }

    async fn delete_next(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let last: Option<(Uuid, i64)> = sqlx::query_as(self.statement)
            .bind(self.after)
            .fetch_optional(pool)
            .await?;
        let Some((id, SWEEP_WINDOW..)) = last else {
            self.after = Uuid::nil();
            return Ok(false);
        };
        self.after = id;
        Ok(true)
    }
}
