//! Rows that are no longer needed and that no index finds: whether a session is idle depends on the
//! time that its workspace allows, and whether a family has tokens on another table.

use latchkey_service::database::{SWEEP_WINDOW, Sweep};
use sqlx::PgPool;
use uuid::Uuid;

/// A walk through a table in the order of its ids.
#[derive(Debug)]
pub(super) struct ById {
    what: &'static str,
    /// Looks at the `$1` rows after the id `$2`; returns the id of the last one, and their number.
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

/// The walks, each from the beginning of its table.
pub(super) const SWEEPS: [ById; 3] = [
    ById::new(
        // An idle session cannot be used any more by its cookie or by a refresh token.
        "idle sessions",
        "WITH seen AS MATERIALIZED (
             SELECT id FROM auth.session WHERE id > $2 ORDER BY id LIMIT $1
         ), gone AS (
             DELETE FROM auth.session WHERE id IN (
                 SELECT s.id FROM seen JOIN auth.session s ON s.id = seen.id
                 WHERE s.last_seen_at < now() - s.idle_for - interval '7 days'
                   AND NOT EXISTS (SELECT FROM auth.refresh_family f
                                   WHERE f.session_id = s.id AND f.ended_at IS NULL)
                 FOR UPDATE OF s SKIP LOCKED)
         )
         SELECT id, (SELECT count(*) FROM seen) FROM seen ORDER BY id DESC LIMIT 1",
    ),
    ById::new(
        "ID tokens of idle sessions",
        "WITH seen AS MATERIALIZED (
             SELECT id FROM auth.session WHERE id > $2 ORDER BY id LIMIT $1
         ), erased AS (
             UPDATE auth.session SET sealed_id_token = NULL WHERE id IN (
                 SELECT s.id FROM seen JOIN auth.session s ON s.id = seen.id
                 WHERE s.sealed_id_token IS NOT NULL AND s.last_seen_at < now() - s.idle_for
                   AND NOT EXISTS (SELECT FROM auth.refresh_family f
                                   WHERE f.session_id = s.id AND f.ended_at IS NULL)
                 FOR UPDATE OF s SKIP LOCKED)
         )
         SELECT id, (SELECT count(*) FROM seen) FROM seen ORDER BY id DESC LIMIT 1",
    ),
    ById::new(
        // A family is kept as long as one of its tokens.
        "refresh families without tokens",
        "WITH seen AS MATERIALIZED (
             SELECT id FROM auth.refresh_family WHERE id > $2 ORDER BY id LIMIT $1
         ), gone AS (
             DELETE FROM auth.refresh_family WHERE id IN (
                 SELECT f.id FROM seen JOIN auth.refresh_family f ON f.id = seen.id
                 WHERE f.created_at < now() - interval '1 day'
                   AND NOT EXISTS (SELECT FROM auth.refresh_token t WHERE t.family_id = f.id)
                 FOR UPDATE OF f SKIP LOCKED)
         )
         SELECT id, (SELECT count(*) FROM seen) FROM seen ORDER BY id DESC LIMIT 1",
    ),
];

impl Sweep for ById {
    fn what(&self) -> &'static str {
        self.what
    }

    async fn delete_next(&mut self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let last: Option<(Uuid, i64)> = sqlx::query_as(self.statement)
            .bind(SWEEP_WINDOW)
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
