//! Who was given which token, and who was refused (R36).
//!
//! A call hands its record over and goes on: it never waits for the database. A
//! row of `vault.audit` is written behind it, many in one statement; refusals
//! and revocations are log lines as well (target `audit`). What cannot be kept is
//! counted, and the count is told: nothing is lost in silence.

mod copy;
mod log;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use record::{Outcome, Record};

use crate::store::Connections;

/// Records that wait for the table: some 40 MB at most, while the database is away.
const QUEUE: usize = 128 * 1024;
/// Records taken at once.
const BATCH: usize = 1000;
/// Records are gathered for so long: a row alone costs as much as many, and a
/// writer that sleeps is not woken by every call.
const GATHER: Duration = Duration::from_millis(50);
/// Between two tries while the database does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries when the service is ending.
const LAST_TRIES: usize = 3;

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
    /// Losses that the log has and the table has not.
    untold: u64,
    rows: copy::Rows,
    connections: Connections,
    clock: Arc<dyn Clock>,
}

/// An audit and its writer.
pub(crate) fn audit(connections: Connections, clock: Arc<dyn Clock>) -> (Audit, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let audit = Audit {
        queue: sender,
        lost: Arc::clone(&lost),
    };
    let writer = Writer {
        queue,
        lost,
        untold: 0,
        rows: copy::Rows::default(),
        connections,
        clock,
    };
    (audit, writer)
}

impl Audit {
    /// Takes a record, never waiting. Counts it as lost where the queue is full.
    pub fn record(&self, record: Record) {
        log::write(&record);
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
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let taken = tokio::select! {
                taken = self.queue.recv_many(&mut batch, BATCH) => taken,
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            if taken < BATCH {
                let gathered = tokio::time::sleep(GATHER);
                let _ = stop.run_until_cancelled(gathered).await;
                while batch.len() < BATCH
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
        self.note_losses();
        if self.untold > 0 {
            batch.push(Record::lost(self.clock.now(), self.untold));
        }
        self.rows.set(batch);
        let mut tries = 0;
        while let Err(error) = self.rows.insert(&self.connections).await {
            tries += 1;
            if tries == 1 {
                tracing::warn!(%error, records = batch.len(), "audit records wait for the database");
            }
            if stop.is_cancelled() && tries >= LAST_TRIES {
                tracing::error!(target: "audit", lost = batch.len(), "audit records did not reach the table");
                return;
            }
            tokio::time::sleep(PAUSE).await;
            self.note_losses();
        }
        self.untold = 0;
    }

    /// Says in the log how much is missing.
    fn note_losses(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(
                target: "audit",
                lost,
                "audit records were lost: more came than could be written"
            );
            self.untold += lost;
        }
    }
}
