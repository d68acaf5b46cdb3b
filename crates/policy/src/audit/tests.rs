use std::sync::Arc;

use latchkey_domain::SystemClock;
use sqlx::postgres::PgPoolOptions;

use super::*;

fn parts() -> (Audit, Writer) {
    let nowhere = PgPoolOptions::new()
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .unwrap();
    audit(nowhere, Table::Vault, Arc::new(SystemClock))
}

fn record() -> Record {
    Record::new(SystemClock.now(), "GetAccessToken", Outcome::Given)
}

// R36: a call never waits, and lost records are counted.
#[tokio::test]
async fn a_full_queue_counts_what_it_loses() {
    let (audit, writer) = parts();
    for number in 0..QUEUE_CAPACITY + 7 {
        let caller = format!("caller-{}", number % 16);
        audit.record(Record { caller, ..record() });
    }
    assert_eq!(writer.lost.load(Ordering::Relaxed), 7);
}

// R36: the records of one caller do not displace those of others.
#[tokio::test]
async fn one_caller_leaves_room_for_the_others() {
    let (audit, writer) = parts();
    for _ in 0..QUEUE_CAPACITY * 2 {
        audit.record(record());
    }
    let taken = QUEUE_CAPACITY - audit.queue.capacity();
    assert!(
        (QUEUE_CAPACITY / 2..QUEUE_CAPACITY).contains(&taken),
        "{taken}"
    );
    let lost = writer.lost.load(Ordering::Relaxed);
    let caller = "another".to_owned();
    audit.record(Record { caller, ..record() });
    assert_eq!(writer.lost.load(Ordering::Relaxed), lost);
    assert_eq!(QUEUE_CAPACITY - audit.queue.capacity(), taken + 1);
}

// R36: callers that were not admitted do not displace the records of others.
#[tokio::test]
async fn unauthenticated_callers_use_only_half_of_the_queue() {
    let (audit, writer) = parts();
    for _ in 0..QUEUE_CAPACITY {
        audit.record_unauthenticated(record());
    }
    let taken = QUEUE_CAPACITY - audit.queue.capacity();
    assert_eq!(taken, QUEUE_CAPACITY / 2);
    assert_eq!(
        writer.lost.load(Ordering::Relaxed),
        (QUEUE_CAPACITY - taken) as u64
    );
    audit.record(record());
    assert_eq!(QUEUE_CAPACITY - audit.queue.capacity(), taken + 1);
}

// R36: a loss is logged at once and recorded when the table accepts rows again.
#[tokio::test]
async fn losses_add_up_until_the_table_has_them() {
    let (_audit, mut writer) = parts();
    writer.lost.store(3, Ordering::Relaxed);
    writer.report_losses();
    writer.lost.store(2, Ordering::Relaxed);
    writer.report_losses();
    assert_eq!(writer.lost.load(Ordering::Relaxed), 0);
    let row = Record::lost(writer.clock.now(), writer.unreported);
    assert_eq!(row.outcome, Outcome::Lost);
    assert_eq!(row.reason.as_deref(), Some("5 records were lost"));
}
