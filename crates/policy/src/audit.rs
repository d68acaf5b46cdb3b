//! The audit: which calls were answered and which were refused (R36).
//!
//! A call puts its record into a queue and does not wait for the database. A writer
//! copies the records to the audit table of the service, many in one statement. Refusals
//! and revocations are also logged (target `audit`). Records that do not fit into the
//! queue are counted, and the count is logged and recorded.

mod copy;
mod log;
mod partitions;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_domain::Clock;
use latchkey_service::database::{ANSWER, prune_audit, within};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use copy::Table;
pub use partitions::prepare_partitions;
pub use record::{Outcome, Record};

/// Most records that wait for the table, about 40 MB.
const QUEUE_CAPACITY: usize = 128 * 1024;
/// Most records in one statement. The database uses a core for some milliseconds for a
/// thousand, and calls wait meanwhile if it has no other.
const BATCH_SIZE: usize = 500;
/// The writer waits this long for a full batch. A statement costs the database as much as a hundred
/// and fifty rows.
const BATCH_DELAY: Duration = Duration::from_millis(80);
/// How often it looks meanwhile whether the batch is full: not every call wakes the writer.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Time between two attempts while the database does not answer.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Number of attempts at shut-down.
const SHUTDOWN_ATTEMPTS: usize = 3;

/// The queue of the audit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Record>,
    lost: Arc<AtomicU64>,
    is_limited: Arc<AtomicBool>,
    /// Number of records of each caller since the queue became half full.
    shares: Arc<Mutex<HashMap<String, usize>>>,
}

/// Writes the records of the queue to the table.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Record>,
    lost: Arc<AtomicU64>,
    /// Number of lost records that are logged but not recorded in the table yet.
    unreported: u64,
    rows: copy::Rows,
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

/// An audit queue and the writer that copies it to a table.
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
    /// Records without waiting. Counts the record as lost if the queue is full, or if it is
    /// half full and the caller has used its share of the rest.
    pub fn record(&self, record: Record) {
        log::write(&record);
        if !self.has_room_for(&record.caller) || self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// While the queue is more than half full, each caller gets a quarter of the rest.
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

    /// Records a caller that was not admitted. Such records may be an attack, so they use
    /// only half of the queue.
    pub fn record_unauthenticated(&self, record: Record) {
        if self.queue.capacity() > QUEUE_CAPACITY / 2 {
            self.record(record);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Writes until `stop`, and then the records that are left.
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
            stop.run_until_cancelled(self.gather(taken)).await;
            while batch.len() < BATCH_SIZE
                && let Ok(record) = self.queue.try_recv()
            {
                batch.push(record);
            }
            self.write(&mut batch, &stop).await;
            batch.clear();
        }
    }

    /// Waits until there is a full batch with the records that were `taken` from the queue, at most
    /// for [`BATCH_DELAY`].
    async fn gather(&self, taken: usize) {
        let until = Instant::now() + BATCH_DELAY;
        while taken + self.queue.len() < BATCH_SIZE && Instant::now() < until {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Writes the batch; tries again until it succeeds, or at shut-down a few times.
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
                tracing::warn!(%error, records = batch.len(), "audit records cannot be written and are tried again");
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

    /// Logs the number of lost records.
    fn report_losses(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(
                target: "audit",
                lost,
                "audit records were lost because the queue was full"
            );
            self.unreported += lost;
        }
    }
}

/// Deletes records that are older than `keep`, in the role `latchkey_operator`; the role
/// of a service may not. Records of refresh-svc go week by week, up to seven days later.
/// Returns the number of records.
///
/// # Errors
/// `keep` is less than 30 days, the role may not, or the database failed.
pub async fn prune(pool: &PgPool, table: Table, keep: Duration) -> Result<i64, sqlx::Error> {
    prune_audit(pool, table.prune(), keep).await
}
