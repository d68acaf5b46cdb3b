//! The path of events with several replicas: outbox, broker, committed connection.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use devstack::ServiceId;
use devstack::stack::Service;
use sqlx::{Executor as _, PgPool};

use super::testbed::{DATABASE_URL, LoginTestbed, PLAIN};
use crate::machine::processor_time;

/// How often accounts are counted.
const LOOK: Duration = Duration::from_millis(50);
/// Accounts that are not there by then are an error.
const LONGEST: Duration = Duration::from_mins(5);

/// Keeps the events that were written by the replayed sign-ins.
const KEEP: &str = "
    CREATE TABLE public.kept AS
        SELECT event_id, exchange, routing_key, event_type, subject, payload, traceparent
        FROM auth.outbox ORDER BY seq";
/// As if no event had come.
const FORGET: &str = "
    TRUNCATE auth.outbox, sync.outbox, sync.inbox, sync.connected_account, vault.credential,
             vault.replaced_grant CASCADE";
/// All sign-ins of the measurement are committed at once.
const WRITE: &str = "
    INSERT INTO auth.outbox
        (event_id, exchange, routing_key, event_type, subject, payload, traceparent)
    SELECT * FROM public.kept";

/// One measurement of the path.
pub struct EventPath {
    /// Replicas of auth-svc and of sync-svc.
    pub replicas: usize,
    /// Whether one replica of each was killed when half of the accounts were there.
    pub killed: bool,
    /// Committed connections per second.
    pub rate: f64,
    /// Processor time of all replicas of sync-svc for each connection; zero if one was killed.
    pub sync_processor: Duration,
    /// Processor time of all replicas of auth-svc, whose relays publish, for each event; zero if one
    /// was killed.
    pub relay_processor: Duration,
    /// Events that were written.
    pub events: i64,
    /// Accounts that were connected.
    pub accounts: i64,
}

/// Keeps the events of the second database, whose outbox the replayed sign-ins filled.
pub async fn prepare(plain: &PgPool) -> anyhow::Result<()> {
    plain.execute(sqlx::raw_sql(KEEP)).await?;
    Ok(())
}

/// Measures with this number of replicas, on the second database. The services of the stack must
/// have stopped.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
pub async fn measure(
    testbed: &mut LoginTestbed,
    replicas: usize,
    kills: bool,
) -> anyhow::Result<EventPath> {
    let plain = testbed.plain.clone();
    plain.execute(sqlx::raw_sql(FORGET)).await?;
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        plain.execute(sqlx::raw_sql(statement)).await?;
    }
    let mut auth = start(testbed, ServiceId::Auth, replicas).await?;
    let mut sync = start(testbed, ServiceId::Sync, replicas).await?;
    let before = [processor(&auth)?, processor(&sync)?];
    let written = plain.execute(sqlx::raw_sql(WRITE)).await?;
    let events: i64 = written.rows_affected().try_into()?;
    let begun = Instant::now();
    let mut kill_is_due = kills;
    loop {
        let accounts = accounts(&plain).await?;
        if accounts >= events {
            break;
        }
        if kill_is_due && accounts * 2 >= events {
            kill_is_due = false;
            for service in [auth.pop(), sync.pop()].iter_mut().flatten() {
                service.kill();
            }
        }
        anyhow::ensure!(
            begun.elapsed() < LONGEST,
            "{accounts} of {events} accounts are there"
        );
        tokio::time::sleep(LOOK).await;
    }
    let took = begun.elapsed();
    // The events of sync-svc are a part of its work.
    published(&plain).await?;
    let [relay_processor, sync_processor] = if kills {
        [Duration::ZERO; 2]
    } else {
        let spent = |after: Duration, before| {
            after
                .saturating_sub(before)
                .div_f64((events as f64).max(1.0))
        };
        [
            spent(processor(&auth)?, before[0]),
            spent(processor(&sync)?, before[1]),
        ]
    };
    for service in auth.iter_mut().chain(&mut sync) {
        service.stop();
    }
    Ok(EventPath {
        replicas,
        killed: kills,
        rate: events as f64 / took.as_secs_f64(),
        sync_processor,
        relay_processor,
        events,
        accounts: accounts(&plain).await?,
    })
}

/// Starts replicas of a service on the second database.
async fn start(
    testbed: &mut LoginTestbed,
    id: ServiceId,
    replicas: usize,
) -> anyhow::Result<Vec<Service>> {
    let service = testbed.stack.service(id)?;
    let url = service.variable(DATABASE_URL)?;
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    let mut started = Vec::new();
    for number in 0..replicas {
        let mut replica = service.replica(&format!("{}-{number}", service.name()))?;
        replica.set(DATABASE_URL, format!("{server}/{PLAIN}"));
        replica.start().await?;
        started.push(replica);
    }
    Ok(started)
}

fn processor(services: &[Service]) -> anyhow::Result<Duration> {
    let processes = services.iter().filter_map(Service::process_id);
    processes.map(processor_time).sum()
}

/// Returns the number of connected accounts. An event that was lost or applied twice changes it.
async fn accounts(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM sync.connected_account")
            .fetch_one(pool)
            .await?,
    )
}

/// Waits until the outboxes are empty.
async fn published(pool: &PgPool) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM auth.outbox) OR EXISTS (SELECT FROM sync.outbox)",
        )
        .fetch_one(pool)
        .await?;
        if !waiting {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < LONGEST, "an outbox is not empty");
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the numbers of replicas without repetitions, in their order.
pub fn counts(asked: &[usize]) -> BTreeSet<usize> {
    asked.iter().copied().filter(|count| *count > 0).collect()
}
