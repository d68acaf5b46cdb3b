//! The rows that the checker judges, and the trigger that records every event in the transaction of
//! its fact.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::evidence::{Account, Channel, Database, Job};
use crate::history::Moment;

/// A commit is durable although the server of the tests does not wait for it by default, and the
/// outboxes are recorded: their rows are deleted when they are published.
const PREPARE: &str = "
ALTER DATABASE latchkey SET synchronous_commit = on;
CREATE SCHEMA faults;
CREATE TABLE faults.committed (event_id uuid PRIMARY KEY, routing_key text NOT NULL);
CREATE FUNCTION faults.record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    INSERT INTO faults.committed VALUES (NEW.event_id, NEW.routing_key);
    RETURN NULL;
END
$$;
CREATE TRIGGER faults_record AFTER INSERT ON auth.outbox
    FOR EACH ROW EXECUTE FUNCTION faults.record();
CREATE TRIGGER faults_record AFTER INSERT ON sync.outbox
    FOR EACH ROW EXECUTE FUNCTION faults.record();
CREATE TRIGGER faults_record AFTER INSERT ON vault.outbox
    FOR EACH ROW EXECUTE FUNCTION faults.record();
";

/// Some statements and commits of the services fail while the table has a SQLSTATE: those of the
/// superuser do not.
const PREPARE_CONFLICTS: &str = "
CREATE TABLE faults.conflict (code text);
INSERT INTO faults.conflict VALUES (NULL);
GRANT USAGE ON SCHEMA faults TO PUBLIC;
GRANT SELECT ON faults.conflict TO PUBLIC;
CREATE FUNCTION faults.fail() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    failure text;
BEGIN
    SELECT code INTO failure FROM faults.conflict;
    IF failure IS NOT NULL AND session_user <> 'postgres' AND random() < 0.03 THEN
        RAISE EXCEPTION 'a conflict that the fault suite made' USING ERRCODE = failure;
    END IF;
    RETURN NULL;
END
$$;
DO
$$
DECLARE
    relation record;
BEGIN
    FOR relation IN
        SELECT c.oid::regclass AS name, c.relkind AS kind
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('auth', 'sync', 'vault') AND c.relkind IN ('r', 'p')
          AND NOT c.relispartition
    LOOP
        EXECUTE format(
            'CREATE TRIGGER faults_fail BEFORE INSERT OR UPDATE OR DELETE ON %s
                 FOR EACH STATEMENT EXECUTE FUNCTION faults.fail()', relation.name);
        IF relation.kind = 'r' THEN
            EXECUTE format(
                'CREATE CONSTRAINT TRIGGER faults_fail_at_commit
                     AFTER INSERT OR UPDATE OR DELETE ON %s DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION faults.fail()', relation.name);
        END IF;
    END LOOP;
END
$$;
";

/// Prepares the database before the services connect to it.
pub(super) async fn prepare(pool: &PgPool, has_conflicts: bool) -> anyhow::Result<()> {
    sqlx::raw_sql(PREPARE).execute(pool).await?;
    if has_conflicts {
        sqlx::raw_sql(PREPARE_CONFLICTS).execute(pool).await?;
    }
    Ok(())
}

/// Returns the number of events that wait in outboxes.
pub(super) async fn outboxes(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM sync.outbox)
              + (SELECT count(*) FROM vault.outbox)",
    )
    .fetch_one(pool)
    .await?)
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: Uuid,
    provider: String,
    handle: String,
    last_authenticated_at: OffsetDateTime,
    disconnected: bool,
    has_tokens: bool,
    authenticated_at: Option<OffsetDateTime>,
    failed: bool,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: row.id,
            provider: row.provider,
            handle: row.handle,
            last_authenticated: row.last_authenticated_at.into(),
            disconnected: row.disconnected,
            has_tokens: row.has_tokens,
            credential_authenticated: row.authenticated_at.map(Moment::from),
            failed: row.failed,
        }
    }
}

/// Reads every row.
pub(super) async fn read(pool: &PgPool) -> anyhow::Result<Database> {
    let accounts: Vec<AccountRow> = sqlx::query_as(
        "SELECT a.id, a.provider, a.handle, a.last_authenticated_at,
                a.disconnected_at IS NOT NULL AS disconnected,
                coalesce(c.sealed_refresh_token, c.sealed_access_token) IS NOT NULL AS has_tokens,
                c.authenticated_at, c.auth_failed_at IS NOT NULL AS failed
         FROM sync.connected_account a LEFT JOIN vault.credential c ON c.account_id = a.id",
    )
    .fetch_all(pool)
    .await?;
    let channels: Vec<(Uuid, Uuid, String, String)> =
        sqlx::query_as("SELECT id, account_id, kind, visibility FROM sync.channel")
            .fetch_all(pool)
            .await?;
    let jobs: Vec<(Uuid, Uuid, i32)> =
        sqlx::query_as("SELECT id, channel_id, generation FROM sync.sync_job")
            .fetch_all(pool)
            .await?;
    let committed: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT event_id, routing_key FROM faults.committed")
            .fetch_all(pool)
            .await?;
    let applied: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM sync.inbox")
        .fetch_all(pool)
        .await?;
    Ok(Database {
        accounts: accounts.into_iter().map(Account::from).collect(),
        channels: channels
            .into_iter()
            .map(|(id, account, kind, visibility)| Channel {
                id,
                account,
                kind,
                visibility,
            })
            .collect(),
        jobs: jobs
            .into_iter()
            .map(|(id, channel, generation)| Job {
                id,
                channel,
                generation,
            })
            .collect(),
        committed: committed.into_iter().collect(),
        applied: applied.into_iter().collect(),
    })
}
