//! The relay while the network loses an answer of the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use latchkey_messaging::outbox::{Relay, Schema};
use latchkey_testkit::{
    Direction, Proxy, Role, TestBroker, TestDatabase, Verdict, Watch, WatchedConnection,
};
use sqlx::PgPool;

use crate::support::{Collector, Running, commit_events, config, eventually};

/// A message `Sync` of PostgreSQL's protocol, with which sqlx makes a round trip.
const ROUND_TRIP: &[u8] = b"S\0\0\0\x04";

/// A part of the relay's statement: other connections of the service are not watched.
const CLAIM: &[u8] = b"FOR UPDATE SKIP LOCKED";

/// If the flag is set, the next round trip of the relay without a statement gets no answer, and the
/// flag is cleared.
#[derive(Debug, Clone, Default)]
struct LosesOneAnswer(Arc<AtomicBool>);

struct Connection {
    loses: LosesOneAnswer,
    is_relays: bool,
    is_lost: bool,
}

impl Watch for LosesOneAnswer {
    fn connected(&self) -> Box<dyn WatchedConnection> {
        Box::new(Connection {
            loses: self.clone(),
            is_relays: false,
            is_lost: false,
        })
    }
}

impl WatchedConnection for Connection {
    fn passes(&mut self, direction: Direction, packet: &[u8]) -> Verdict {
        match direction {
            Direction::Request if packet == ROUND_TRIP && self.is_relays => {
                self.is_lost |= self.loses.0.swap(false, Ordering::SeqCst);
            }
            Direction::Request => {
                self.is_relays |= packet.windows(CLAIM.len()).any(|part| part == CLAIM);
            }
            Direction::Response if self.is_lost => return Verdict::Lose,
            Direction::Response => {}
        }
        Verdict::Forward
    }
}

// R31, R39: sqlx makes a round trip without a time limit when a connection is returned, and the
// relay's pool has one connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_goes_on_if_the_answer_to_the_return_of_its_connection_is_lost() {
    let (database, broker) = (TestDatabase::create().await, TestBroker::create().await);
    let collector = Collector::bind(&broker, "account.connected.v1").await;
    let (proxy, through) = Proxy::in_front_of(&database.url(Role::Sync)).await.unwrap();
    let watch = LosesOneAnswer::default();
    proxy.watch(Arc::new(watch.clone()));
    let pool = PgPool::connect_lazy(&through).unwrap();
    let relay = Relay::new(pool, Schema::Sync, config(broker.url()), "/latchkey/test");
    let relay = Running::start(move |stop| relay.run(stop));
    let before = commit_events(&database, 1).await;
    eventually("the relay publishes", async || collector.has_all(&before)).await;

    watch.0.store(true, Ordering::SeqCst);
    eventually("an answer is lost", async || {
        !watch.0.load(Ordering::SeqCst)
    })
    .await;

    let after = commit_events(&database, 1).await;
    eventually("the relay goes on", async || collector.has_all(&after)).await;
    relay.stop().await;
}
