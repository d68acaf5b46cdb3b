use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use latchkey_domain::EventId;
use latchkey_messaging::consumer::{Consumer, HandleError, Handler, Received, RetrySchedule};
use latchkey_messaging::parked;
use latchkey_messaging::topology::{SYNC_SVC_QUEUE, Subscription};
use latchkey_proto::events::UserAuthenticated;
use latchkey_testkit::TestBroker;

use crate::support::{
    Running, body, config, eventually, maintenance, properties, publish, publish_event, unbind,
};

const TYPE: &str = "user.authenticated.v1";

/// Fails the first attempts in a chosen way and records the messages.
#[derive(Default)]
pub struct Script {
    pub failures: AtomicUsize,
    /// The error of an attempt that fails, in place of the usual one.
    pub error: Option<HandleError>,
    pub panics: bool,
    pub hangs: bool,
    /// A dependency of every message is not available.
    pub away: AtomicBool,
    pub committed: AtomicBool,
    pub seen: Mutex<Vec<(EventId, u32)>>,
}

impl Script {
    pub fn failing(failures: usize) -> Arc<Self> {
        Arc::new(Self {
            failures: AtomicUsize::new(failures),
            ..Self::default()
        })
    }

    pub fn seen(&self) -> Vec<(EventId, u32)> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Script {
    async fn handle(&self, message: &Received) -> Result<(), HandleError> {
        message.event::<UserAuthenticated>()?;
        self.seen
            .lock()
            .unwrap()
            .push((message.id, message.attempts));
        self.committed.store(true, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(HandleError::Retry("database is away".to_owned()));
        }
        let fails = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        assert!(!(fails && self.panics), "as the script says");
        if fails {
            let usual = || HandleError::Retry("database is down".to_owned());
            return Err(self.error.clone().unwrap_or_else(usual));
        }
        Ok(())
    }

    async fn available(&self) -> Result<(), String> {
        if self.away.load(Ordering::SeqCst) {
            return Err("database is away".to_owned());
        }
        Ok(())
    }
}

pub fn consumer(broker: &TestBroker, handler: Arc<Script>) -> Consumer {
    let retry_schedule = RetrySchedule::new(
        vec![Duration::from_millis(50), Duration::from_millis(100)],
        4,
    );
    Consumer::new(config(broker.url()), Subscription::SYNC_SVC, handler)
        .with_retry_schedule(retry_schedule)
}

pub async fn start(broker: &TestBroker, handler: &Arc<Script>) -> Running {
    let consumer = consumer(broker, handler.clone());
    let running = Running::start(move |stop| consumer.run(stop));
    eventually("the queue has its consumer", async || {
        let connection = config(broker.url()).connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let passive = lapin::options::QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        channel
            .queue_declare(
                SYNC_SVC_QUEUE.into(),
                passive,
                lapin::types::FieldTable::default(),
            )
            .await
            .is_ok_and(|queue| queue.consumer_count() > 0)
    })
    .await;
    running
}

async fn send(broker: &TestBroker) -> EventId {
    let id = EventId::generate();
    publish(broker, SYNC_SVC_QUEUE, properties(id, TYPE), &body()).await;
    id
}

async fn parked_reason(broker: &TestBroker) -> String {
    let mut reason = None;
    eventually("one is parked", async || {
        let parked = parked::list(&config(broker.url()), SYNC_SVC_QUEUE, 10)
            .await
            .unwrap();
        reason = parked.first().map(|message| message.reason.clone());
        reason.is_some()
    })
    .await;
    reason.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_is_delivered_again_and_counts_its_attempts() {
    let broker = TestBroker::create().await;
    let script = Script::failing(2);
    let running = start(&broker, &script).await;
    let id = send(&broker).await;
    eventually("it is handled", async || script.seen().len() == 3).await;
    assert_eq!(script.seen(), [(id, 0), (id, 1), (id, 2)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_attempts_are_exhausted_is_parked_with_the_reason() {
    let broker = TestBroker::create().await;
    let script = Script::failing(usize::MAX);
    let running = start(&broker, &script).await;
    send(&broker).await;
    assert_eq!(
        parked_reason(&broker).await,
        "4 tries failed: database is down"
    );
    assert_eq!(script.seen().len(), 4);
    running.stop().await;
}

// R12: the retry queues are for failures that the message itself causes.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_handler_is_not_available_nothing_is_consumed_and_no_attempt_is_counted() {
    let broker = TestBroker::create().await;
    let script = Script::failing(0);
    let running = start(&broker, &script).await;
    script.away.store(true, Ordering::SeqCst);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(send(&broker).await);
    }
    // All are in the queue, none in a retry queue, and none is consumed.
    eventually("consuming pauses", async || {
        let queue = queue(&broker).await;
        !script.seen().is_empty() && queue.message_count() == 20 && queue.consumer_count() == 0
    })
    .await;
    let tried = script.seen();

    script.away.store(false, Ordering::SeqCst);
    eventually("all are handled", async || {
        let seen = script.seen();
        ids.iter().all(|id| seen[tried.len()..].contains(&(*id, 0)))
    })
    .await;
    assert!(script.seen().iter().all(|(_, attempts)| *attempts == 0));
    running.stop().await;
}

// R12: a conflict of two transactions is nobody's fault, and a full disk is not the message's.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_and_a_full_disk_count_no_attempt() {
    let errors = [
        HandleError::Conflict("deadlock detected".to_owned()),
        HandleError::Unavailable("no space left on device".to_owned()),
    ];
    for error in errors {
        let broker = TestBroker::create().await;
        let script = Arc::new(Script {
            failures: AtomicUsize::new(4),
            error: Some(error),
            ..Script::default()
        });
        let running = start(&broker, &script).await;
        let id = send(&broker).await;
        eventually("it is handled", async || script.seen().len() == 5).await;
        assert!(script.seen().iter().all(|seen| *seen == (id, 0)));
        eventually("the queue is empty", async || {
            queue(&broker).await.message_count() == 0
        })
        .await;
        running.stop().await;
    }
}

// R12: a conflict that does not end is tried again later, after five attempts at once.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_that_do_not_end_count_as_one_attempt() {
    let broker = TestBroker::create().await;
    let script = Arc::new(Script {
        failures: AtomicUsize::new(5),
        error: Some(HandleError::Conflict("deadlock detected".to_owned())),
        ..Script::default()
    });
    let running = start(&broker, &script).await;
    send(&broker).await;
    eventually("it is handled", async || script.seen().len() == 6).await;
    let seen = script.seen();
    let attempts: Vec<u32> = seen.iter().map(|(_, attempts)| *attempts).collect();
    assert_eq!(attempts, [0, 0, 0, 0, 0, 1]);
    running.stop().await;
}

async fn queue(broker: &TestBroker) -> lapin::Queue {
    let connection = config(broker.url()).connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let passive = lapin::options::QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let queue = SYNC_SVC_QUEUE.into();
    channel
        .queue_declare(queue, passive, lapin::types::FieldTable::default())
        .await
        .unwrap()
}

/// One message kills the process that handles it; the others take a moment.
struct Deadly {
    poison: EventId,
    taken: tokio::sync::Notify,
    handled: Mutex<HashSet<EventId>>,
}

#[async_trait]
impl Handler for Deadly {
    async fn handle(&self, message: &Received) -> Result<(), HandleError> {
        if message.id == self.poison {
            self.taken.notify_one();
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.handled.lock().unwrap().insert(message.id);
        Ok(())
    }
}

// R12
#[test]
fn a_message_that_kills_every_process_does_not_park_the_others() {
    let survivor = tokio::runtime::Runtime::new().unwrap();
    let (broker, poison) = survivor.block_on(async {
        let broker = TestBroker::create().await;
        // Declares the queue.
        start(&broker, &Script::failing(0)).await.stop().await;
        for _ in 0..14 {
            send(&broker).await;
        }
        let poison = send(&broker).await;
        send(&broker).await;
        (broker, poison)
    });
    let deadly = Arc::new(Deadly {
        poison,
        taken: tokio::sync::Notify::new(),
        handled: Mutex::default(),
    });
    let at = config(broker.url());
    let mut deaths = 0;
    loop {
        let process = tokio::runtime::Runtime::new().unwrap();
        let consumer = Consumer::new(at.clone(), Subscription::SYNC_SVC, deadly.clone());
        let running = process.block_on(async { Running::start(move |stop| consumer.run(stop)) });
        let ended = survivor.block_on(async {
            loop {
                let killed = tokio::time::timeout(Duration::from_secs(1), deadly.taken.notified());
                if killed.await.is_ok() {
                    return false;
                }
                let parked = parked::list(&at, SYNC_SVC_QUEUE, 20).await.unwrap();
                if !parked.is_empty() && deadly.handled.lock().unwrap().len() == 15 {
                    return true;
                }
            }
        });
        process.shutdown_timeout(Duration::from_millis(100));
        drop(running);
        if ended {
            break;
        }
        deaths += 1;
        assert!(deaths <= 21, "parked after 20 deliveries");
    }
    let parked = survivor
        .block_on(parked::list(&at, SYNC_SVC_QUEUE, 20))
        .unwrap();
    let parked: Vec<_> = parked.iter().map(|message| message.event_id).collect();
    assert_eq!(parked, [Some(poison)]);
}

// R12: the binding was lost while events were published.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_gets_what_was_unrouted_while_its_queue_was_not_bound() {
    let broker = TestBroker::create().await;
    let connection = config(broker.url()).connect().await.unwrap();
    latchkey_messaging::topology::declare(&connection)
        .await
        .unwrap();
    unbind(&connection, SYNC_SVC_QUEUE, TYPE).await;
    let mut ids = Vec::new();
    for event_type in [TYPE, "something.else.v1", TYPE] {
        let id = EventId::generate();
        publish_event(&connection, event_type, id).await;
        ids.push(id);
    }
    let unrouted = async || {
        let broker = config(broker.url());
        parked::list(&broker, parked::OperatorQueue::Unrouted, 10)
            .await
            .unwrap()
    };
    assert_eq!(unrouted().await.len(), 3);
    let maintenance = maintenance(&broker, RetrySchedule::default());
    eventually("its own are in the queue", async || {
        queue(&broker).await.message_count() == 2
    })
    .await;
    let script = Script::failing(0);
    let running = start(&broker, &script).await;
    eventually("its own are handled", async || script.seen().len() == 2).await;
    assert_eq!(script.seen(), [(ids[0], 0), (ids[2], 0)]);
    let mut left = Vec::new();
    eventually("the other is back", async || {
        left = unrouted().await;
        left.len() == 1
    })
    .await;
    assert_eq!(left[0].event_id, Some(ids[1]));
    maintenance.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_handler_is_a_failed_attempt() {
    let broker = TestBroker::create().await;
    let script = Arc::new(Script {
        failures: AtomicUsize::new(1),
        panics: true,
        ..Script::default()
    });
    let running = start(&broker, &script).await;
    send(&broker).await;
    eventually("it is handled", async || script.seen().len() == 2).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_an_event_is_parked_at_once_with_the_reason() {
    let id = EventId::generate();
    let oversized = vec![0; 300 * 1024];
    let cases: [(lapin::BasicProperties, &[u8], &str); 4] = [
        (
            lapin::BasicProperties::default(),
            b"x",
            "content type is not application/protobuf",
        ),
        (
            properties(id, "user.authenticated.v2"),
            b"",
            "unknown type or version of event: user.authenticated.v2",
        ),
        (properties(id, TYPE), &oversized, "body has 307200 bytes"),
        (properties(id, TYPE), b"\xff\xff", "body is malformed"),
    ];
    let broker = TestBroker::create().await;
    let script = Script::failing(0);
    let running = start(&broker, &script).await;
    for (properties, body, reason) in cases {
        publish(&broker, SYNC_SVC_QUEUE, properties, body).await;
        let parked = parked_reason(&broker).await;
        assert!(parked.starts_with(reason), "{parked} is not {reason}");
        broker
            .purge(&format!("{SYNC_SVC_QUEUE}.parked"))
            .await
            .unwrap();
    }
    assert!(script.seen().is_empty());
    // The consumer continues.
    send(&broker).await;
    eventually("it is handled", async || script.seen().len() == 1).await;
    running.stop().await;
}

// R21
#[test]
fn a_message_whose_process_dies_between_commit_and_acknowledgement_is_delivered_again() {
    let survivor = tokio::runtime::Runtime::new().unwrap();
    let process = tokio::runtime::Runtime::new().unwrap();
    let broker = survivor.block_on(TestBroker::create());
    let dying = Arc::new(Script {
        hangs: true,
        ..Script::default()
    });
    let running = process.block_on(start(&broker, &dying));
    let id = survivor.block_on(async {
        let id = send(&broker).await;
        eventually("it is committed", async || {
            dying.committed.load(Ordering::SeqCst)
        })
        .await;
        id
    });
    // The whole runtime ends, with its sockets: nothing is acknowledged.
    process.shutdown_timeout(Duration::from_millis(100));
    drop(running);
    survivor.block_on(async {
        let script = Script::failing(0);
        let running = start(&broker, &script).await;
        eventually("it comes again", async || script.seen() == [(id, 0)]).await;
        running.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_connection_was_closed_continues() {
    let broker = TestBroker::create().await;
    let script = Script::failing(0);
    let running = start(&broker, &script).await;
    assert!(broker.close_connections().await.unwrap() > 0);
    let id = send(&broker).await;
    eventually("it is handled", async || {
        script.seen().iter().any(|(seen, _)| *seen == id)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_handled_at_shut_down_is_finished_and_acknowledged() {
    let broker = TestBroker::create().await;
    let script = Script::failing(0);
    let running = start(&broker, &script).await;
    for _ in 0..50 {
        send(&broker).await;
    }
    running.stop().await;
    let handled = script.seen().len();
    let again = Script::failing(0);
    let running = start(&broker, &again).await;
    eventually("the others are handled", async || {
        handled + again.seen().len() == 50
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(handled + again.seen().len(), 50);
    running.stop().await;
}
