//! Who was answered what, and who was refused (R36).
//!
//! A call hands its record over and goes on: it never waits for the database. A
//! row of the service's audit table is written behind it, many in one statement; refusals
//! and revocations are log lines as well (target `audit`). What cannot be kept is
//! counted, and the count is told: nothing is lost in silence.

mod copy;
mod log;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::Clock;
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use copy::Table;
pub use record::{Outcome, Record};

/// Records that wait for the table: some 40 MB at most, while the database is away.
const QUEUE_CAPACITY: usize = 128 * 1024;
/// Records taken at once.
const BATCH_SIZE: usize = 1000;
/// Records are gathered for so long: a row alone costs as much as many, and a
/// writer that sleeps is not woken by every call.
const BATCH_DELAY: Duration = Duration::from_millis(50);
/// Between two tries while the database does not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Tries when the service is ending.
const SHUTDOWN_ATTEMPTS: usize = 3;

/// Takes records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Record>,
    lost: Arc<AtomicU64>,
    is_limited: Arc<AtomicBool>,
    /// What each caller has taken since the queue was half full.
    shares: Arc<Mutex<HashMap<String, usize>>>,
}

/// The writing end of an audit.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Record>,
    lost: Arc<AtomicU64>,
    /// Losses that the log has and the table has not.
    unreported: u64,
    rows: copy::Rows,
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

/// An audit that ends in a table, and its writer.
pub fn audit(pool: PgPool, table: Table, clock: Arc<dyn Clock>) -> (Audit, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
    let lost = Arc::new(AtomicU64::new(0));
    let audit = Audit {
        queue: sender,
        lost: Arc::clone(&lost),
        is_limited: Arc::default(),
        shares: Arc::default(),
    };
    let writer = Writer {
        queue,
        lost,
        unreported: 0,
        rows: copy::Rows::new(table),
        pool,
        clock,
    };
    (audit, writer)
}

impl Audit {
    /// Takes a record, never waiting. Counts it as lost where the queue is full, or half
    /// full and the caller has had its share of the rest.
    pub fn record(&self, record: Record) {
        log::write(&record);
        if !self.has_room_for(&record.caller) || self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// While the queue is more than half full each caller gets a quarter of what is left.
    fn has_room_for(&self, caller: &str) -> bool {
        if self.queue.capacity() > QUEUE_CAPACITY / 2 {
            if self.is_limited.load(Ordering::Relaxed) {
                self.is_limited.store(false, Ordering::Relaxed);
                self.shares().clear();
            }
            return true;
        }
        self.is_limited.store(true, Ordering::Relaxed);
        let mut shares = self.shares();
        let taken = shares.entry(caller.to_owned()).or_default();
        *taken += 1;
        *taken <= QUEUE_CAPACITY / 8
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record of somebody who was not let in at all. They may be many
    /// on purpose: they never take the last places from those who were.
    pub fn record_unauthenticated(&self, record: Record) {
        if self.queue.capacity() > QUEUE_CAPACITY / 2 {
            self.record(record);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Writes until `stop`, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_SIZE);
        loop {
            let taken = tokio::select! {
                taken = self.queue.recv_many(&mut batch, BATCH_SIZE) => taken,
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            if taken < BATCH_SIZE {
                let gathered = tokio::time::sleep(BATCH_DELAY);
                let _ = stop.run_until_cancelled(gathered).await;
                while batch.len() < BATCH_SIZE
                    && let Ok(record) = self.queue.try_recv()
                {
                    batch.push(record);
                }
            }
            self.write(&mut batch, &stop).await;
            batch.clear();
        }
    }

    /// Tries until the batch is in.
    async fn write(&mut self, batch: &mut Vec<Record>, stop: &CancellationToken) {
        self.report_losses();
        if self.unreported > 0 {
            batch.push(Record::lost(self.clock.now(), self.unreported));
        }
        self.rows.set(batch);
        let mut attempts = 0;
        while let Err(error) = within(ANSWER, self.rows.insert(&self.pool)).await {
            attempts += 1;
            if attempts == 1 {
                tracing::warn!(%error, records = batch.len(), "audit records wait for the database");
            }
            if stop.is_cancelled() && attempts >= SHUTDOWN_ATTEMPTS {
                tracing::error!(target: "audit", lost = batch.len(), "audit records did not reach the table");
                return;
            }
            tokio::time::sleep(RETRY_DELAY).await;
            self.report_losses();
        }
        self.unreported = 0;
    }

    /// Says in the log how much is missing.
    fn report_losses(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(
                target: "audit",
                lost,
                "audit records were lost: more came than could be written"
            );
            self.unreported += lost;
        }
    }
}

/// Takes records away that are older than `keep`, as a person of
/// `latchkey_operator`: a service's own role cannot. Answers how many.
///
/// # Errors
/// The database refuses: `keep` is under 30 days, or the role may not.
pub async fn prune(pool: &PgPool, table: Table, keep: Duration) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(table.prune())
        .bind(keep.as_secs_f64())
        .fetch_one(pool)
        .await
}
