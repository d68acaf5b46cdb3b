use latchkey_messaging::topology::MESSAGING_JOBS_QUEUE;
use time::Duration;

use crate::stack::Stack;
use crate::world::{Person, channels, execute, published};

/// The sweep that runs by itself has nothing to do within a test.
#[expect(clippy::disallowed_methods, reason = "the service reads it too")]
pub fn now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}

// The complaint about the replaced system: a channel for ever ONGOING.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_stands_still_gets_a_new_job_and_fails_in_the_end() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    let pool = stack.database.pool();
    assert_eq!(sync_svc::sweep::once(pool, now()).await.unwrap(), 0);

    let mut later = now();
    for round in 1..=8 {
        later += Duration::minutes(61);
        // Two replicas at once move each channel once.
        let (one, other) = tokio::join!(
            sync_svc::sweep::once(pool, later),
            sync_svc::sweep::once(pool, later)
        );
        assert_eq!(one.unwrap() + other.unwrap(), 2, "round {round}");
    }
    let found = channels(&stack, account).await;
    assert_eq!(found[0].shows(), ("FAILED_UNKNOWN", "FAILED"));
    assert_eq!(found[0].jobs, 8);
    later += Duration::minutes(61);
    assert_eq!(sync_svc::sweep::once(pool, later).await.unwrap(), 0);
    published(&stack).await;
    assert_eq!(stack.jobs(MESSAGING_JOBS_QUEUE).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_whose_time_has_come_gets_its_job() {
    let stack = Stack::start().await;
    let person = Person::new();
    person.applies(&stack, person.sign_in(0)).await;
    let account = person.account(&stack).await.id;
    execute(
        &stack,
        "UPDATE sync.message_channel SET throttle_failure_count = 2,
             throttle_retry_after = now() + interval '5 min'",
    )
    .await;
    let pool = stack.database.pool();
    assert_eq!(sync_svc::sweep::once(pool, now()).await.unwrap(), 0);
    let then = now() + Duration::minutes(6);
    assert_eq!(sync_svc::sweep::once(pool, then).await.unwrap(), 1);
    let found = channels(&stack, account).await;
    assert_eq!((found[0].jobs, found[1].jobs), (2, 1));
}
