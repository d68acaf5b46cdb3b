//! A proxy to the broker that a test can cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Forwards them.
    Open,
    /// Keeps connections and forwards nothing, like a broker that hangs.
    Hanging,
    /// Closes every connection and accepts no new one.
    Closed,
}

/// A proxy to the broker.
pub struct Proxy {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(target: String, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(watch::Sender::new(way));
        let state = way.clone();
        let task = tokio::spawn(async move {
            loop {
                let (inbound, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(inbound, target.clone(), state.subscribe()));
            }
        });
        Self { address, way, task }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut inbound: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    let Ok(mut outbound) = TcpStream::connect(target).await else {
        return;
    };
    loop {
        let now = *way.borrow_and_update();
        let changed = match now {
            Way::Closed => return,
            Way::Hanging => way.changed().await,
            Way::Open => tokio::select! {
                changed = way.changed() => changed,
                _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => return,
            },
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Long enough for the time-out of a confirm.
pub const LONGER_THAN_A_CONFIRM: Duration = Duration::from_secs(11);
