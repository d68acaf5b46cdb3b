//! Who was given which token, and who was refused (R36).
//!
//! A call hands its record over and goes on: it never waits for the log or the
//! database. A log line (target `audit`) and a row of `vault.audit` are written
//! behind it. What cannot be kept is counted, and the count is told: nothing is
//! lost in silence.

mod log;
mod record;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::Clock;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use record::{Outcome, Record};

/// Records under way to the log, and as many under way to the table.
const QUEUE: usize = 32 * 1024;
/// Records taken at once.
const BATCH: usize = 1000;
/// Between two batches that are not full.
const GATHER: Duration = Duration::from_millis(20);
/// How often a loss is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long the last records are waited for when the service ends.
const GRACE: Duration = Duration::from_secs(5);

/// Takes records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Record>,
    lost: Arc<AtomicU64>,
}

/// The writing end of an audit.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Record>,
    lost: Arc<AtomicU64>,
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

/// An audit and its writer.
pub fn audit(pool: PgPool, clock: Arc<dyn Clock>) -> (Audit, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let audit = Audit {
        queue: sender,
        lost: Arc::clone(&lost),
    };
    let writer = Writer {
        queue,
        lost,
        pool,
        clock,
    };
    (audit, writer)
}

impl Audit {
    /// Takes a record, never waiting. Counts it as lost where the queue is full.
    pub fn record(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a record of somebody who was not let in at all. They may be many
    /// on purpose: they never take the last places from those who were.
    pub fn record_stranger(&self, record: Record) {
        if self.queue.capacity() > QUEUE / 2 {
            self.record(record);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Writes until `stop`, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let (to_table, rows) = mpsc::channel(QUEUE);
        let table: JoinHandle<()> = tokio::spawn(table::run(self.pool.clone(), rows, stop.clone()));
        let mut tell = tokio::time::interval(TELL_EVERY);
        let mut batch = Vec::with_capacity(BATCH);
        let mut stopping = false;
        loop {
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.queue.close();
                }
                taken = self.queue.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch = self.write(batch, &to_table).await;
                    // Asleep, it is not woken for every record: a wake costs the
                    // call more than the record does.
                    if taken < BATCH && !stopping {
                        tokio::time::sleep(GATHER).await;
                    }
                }
                _ = tell.tick() => self.tell_losses(&to_table),
            }
        }
        self.tell_losses(&to_table);
        drop(to_table);
        if tokio::time::timeout(GRACE, table).await.is_err() {
            tracing::error!(target: "audit", "the last audit records did not reach the table");
        }
    }

    /// Writes a batch to the log and hands it to the table; the batch comes
    /// back empty.
    async fn write(&self, batch: Vec<Record>, to_table: &mpsc::Sender<Record>) -> Vec<Record> {
        // Standard output may block, and many lines take their time.
        let logged = tokio::task::spawn_blocking(move || {
            batch.iter().for_each(log::write);
            batch
        });
        let Ok(mut batch) = logged.await else {
            return Vec::with_capacity(BATCH);
        };
        for record in batch.drain(..) {
            if to_table.try_send(record).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        batch
    }

    /// Says in both places how much is missing.
    fn tell_losses(&self, to_table: &mpsc::Sender<Record>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        tracing::error!(
            target: "audit",
            lost,
            "audit records were lost: more came than could be written"
        );
        if to_table
            .try_send(Record::lost(self.clock.now(), lost))
            .is_err()
        {
            // Told in the table when it takes records again.
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }
}
