use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use latchkey_service::database::RECENTLY_TESTED;
use latchkey_testkit::{
    Direction, Proxy, Role, TestDatabase, Verdict, Watch, WatchedConnection, eventually,
};
use sqlx::PgPool;

use crate::pool_of;

/// A network that loses the packets of all connections that began before a flag is set.
#[derive(Debug, Clone, Default)]
struct Forgetful(Arc<Network>);

#[derive(Debug, Default)]
struct Network {
    forgets: AtomicBool,
    /// Connections that sent something after they were forgotten.
    asked: AtomicUsize,
    /// Connections that began after that.
    begun: AtomicUsize,
}

struct Connection {
    network: Arc<Network>,
    is_new: bool,
}

impl Watch for Forgetful {
    fn connected(&self) -> Box<dyn WatchedConnection> {
        let is_new = self.0.forgets.load(Ordering::SeqCst);
        self.0
            .begun
            .fetch_add(usize::from(is_new), Ordering::SeqCst);
        Box::new(Connection {
            network: Arc::clone(&self.0),
            is_new,
        })
    }
}

impl WatchedConnection for Connection {
    fn passes(&mut self, direction: Direction, _: &[u8]) -> Verdict {
        let is_lost = !self.is_new && self.network.forgets.load(Ordering::SeqCst);
        if !is_lost {
            return Verdict::Forward;
        }
        if direction == Direction::Request {
            self.network.asked.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Lose
    }
}

async fn write(pool: &PgPool) {
    let written = sqlx::query("UPDATE auth.readiness SET written_at = clock_timestamp()");
    written.execute(pool).await.unwrap();
}

// R39
#[tokio::test(flavor = "multi_thread")]
async fn one_silent_connection_is_enough_to_close_all_that_were_idle_with_it() {
    const CONNECTIONS: usize = 3;
    let database = TestDatabase::create().await;
    let (proxy, through) = Proxy::in_front_of(&database.url(Role::Auth)).await.unwrap();
    let network = Forgetful::default();
    proxy.watch(Arc::new(network.clone()));
    let pool = pool_of("3", &through);
    let mut in_use = Vec::new();
    for _ in 0..CONNECTIONS {
        in_use.push(pool.acquire().await.unwrap());
    }
    drop(in_use);
    eventually("all are idle", async || pool.num_idle() == CONNECTIONS).await;
    tokio::time::sleep(RECENTLY_TESTED + Duration::from_millis(1)).await;

    network.0.forgets.store(true, Ordering::SeqCst);
    for _ in 0..CONNECTIONS {
        write(&pool).await;
    }

    assert_eq!(network.0.asked.load(Ordering::SeqCst), 1);
    assert_eq!(network.0.begun.load(Ordering::SeqCst), CONNECTIONS);
}
