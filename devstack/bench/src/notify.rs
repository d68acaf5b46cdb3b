//! `cargo dev bench notify`: commits per second into a table without a trigger, into one whose
//! trigger notifies, and into an outbox.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_servers::{Package, Postgres, RunDirectory, ensure_installed};
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::comparison::median;
use crate::options::EventOptions;
use crate::report::{timed_progress, write_result};
use crate::{database, machine};

/// Numbers of writers, each with its own connection.
const WRITERS: [usize; 4] = [1, 4, 16, 64];
/// Size of a payload in bytes, as that of a sign-in.
pub const PAYLOAD_BYTES: usize = 485;
/// Share of the commits without a trigger that is the goal.
const GOAL: f64 = 0.9;

/// The tables, in the order of the report.
const TABLES: [&str; 3] = ["bench.plain", "bench.notifying", "sync.outbox"];

/// The table without a trigger, and the one with the trigger that the outbox had up to 0.1.
const CREATE: &str = "
    CREATE SCHEMA bench;
    CREATE TABLE bench.plain (LIKE sync.outbox INCLUDING ALL);
    CREATE TABLE bench.notifying (LIKE sync.outbox INCLUDING ALL);
    CREATE FUNCTION bench.notify() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('bench', '');
        RETURN NULL;
    END $$;
    CREATE TRIGGER notify AFTER INSERT ON bench.notifying
        FOR EACH STATEMENT EXECUTE FUNCTION bench.notify();";

/// Commits per second into each of [`TABLES`], one value for each round.
type Rates = [Vec<f64>; TABLES.len()];

/// Measures and reports.
pub async fn run(options: EventOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    ensure_installed(&[Package::Postgres], &progress)?;
    let directory = RunDirectory::create("bench-notify")?;
    progress("starting PostgreSQL");
    let postgres = Postgres::start_durable(directory.path()).await?;
    let pool = database::create(&postgres, 2).await?;
    pool.execute(sqlx::raw_sql(CREATE)).await?;
    // The relay listened, which is a part of the cost.
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen("bench").await?;
    let listening = tokio::spawn(async move { while listener.recv().await.is_ok() {} });

    let mut text = format!(
        "{}, load average {:.1}; `synchronous_commit=on`, `fsync=on`. Commits per second of one row \
         of {PAYLOAD_BYTES} bytes each, medians of {} rounds of {:.1} s.\n\n\
         | writers | no trigger | trigger that notifies | outbox | notifying by none | outbox by none | goal |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        machine::description(),
        machine::load(),
        options.rounds(),
        options.round().as_secs_f64(),
    );
    for writers in WRITERS {
        progress(&format!("{writers} writers"));
        let rates = measure(&pool, writers, options).await?;
        let [plain, notifying, outbox] = &rates;
        let rate = |rates: &[f64]| median(rates.iter().copied());
        let ratio = |rates: &[f64]| {
            let pairs = rates.iter().zip(plain);
            median(pairs.map(|(rate, plain)| rate / plain.max(f64::EPSILON)))
        };
        writeln!(
            text,
            "| {writers} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | ≥ {GOAL} |",
            rate(plain),
            rate(notifying),
            rate(outbox),
            ratio(notifying),
            ratio(outbox),
        )?;
    }
    listening.abort();
    write_result("notify", &text, options.report)
}

async fn measure(pool: &PgPool, writers: usize, options: EventOptions) -> anyhow::Result<Rates> {
    let mut rates = Rates::default();
    for round in 0..options.rounds() {
        for turn in 0..TABLES.len() {
            // Another order in each round, so that other load affects all tables.
            let number = (round + turn) % TABLES.len();
            let table = TABLES[number];
            let truncate = format!("TRUNCATE {table}");
            pool.execute(sqlx::raw_sql(AssertSqlSafe(truncate))).await?;
            let connect = pool.connect_options();
            let rate = commits(&connect, table, writers, options.round()).await?;
            rates[number].push(rate);
        }
    }
    Ok(rates)
}

/// Returns the commits per second of this number of writers.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
async fn commits(
    connect: &PgConnectOptions,
    table: &'static str,
    writers: usize,
    length: Duration,
) -> anyhow::Result<f64> {
    let mut connections = Vec::with_capacity(writers);
    for _ in 0..writers {
        connections.push(connect.connect().await?);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move {
            let payload = vec![7_u8; PAYLOAD_BYTES];
            let insert = format!(
                "INSERT INTO {table}
                     (event_id, exchange, routing_key, event_type, subject, payload)
                 VALUES ($1, 'latchkey.events', 'bench.v1', 'bench.v1', 's', $2)"
            );
            let mut commits = 0_u64;
            while begun.elapsed() < length {
                sqlx::query(AssertSqlSafe(insert.clone()))
                    .bind(Uuid::new_v4())
                    .bind(payload.as_slice())
                    .execute(&mut connection)
                    .await?;
                commits += 1;
            }
            Ok::<_, sqlx::Error>(commits)
        });
    }
    let mut commits = 0;
    while let Some(done) = tasks.join_next().await {
        commits += done?.context(table)?;
    }
    Ok(commits as f64 / begun.elapsed().as_secs_f64())
}
