//! A TCP forwarder that can lose its connections, silently or not.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A port that forwards connections to a server.
#[derive(Debug)]
pub struct TcpForwarder {
    address: SocketAddr,
    blackholed: watch::Sender<u64>,
    closed: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl TcpForwarder {
    /// Starts a forwarder to the server of a URL.
    ///
    /// # Panics
    /// The URL has no user part, or no port is free.
    pub async fn start(url: &str) -> Self {
        Self::to(parts(url).1).await
    }

    /// Starts a forwarder to a server, for instance `127.0.0.1:5432`.
    ///
    /// # Panics
    /// No port is free.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn to(target: impl Into<String>) -> Self {
        let target = target.into();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("no port is free");
        let address = listener.local_addr().expect("no address");
        let (blackholed, closed) = (watch::Sender::new(0), watch::Sender::new(0));
        let signals = (blackholed.clone(), closed.clone());
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                let signals = (signals.0.subscribe(), signals.1.subscribe());
                tokio::spawn(forward(inbound, target.clone(), signals));
            }
        });
        Self {
            address,
            blackholed,
            closed,
            task,
        }
    }

    /// Returns the address of this forwarder.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL with the address of this forwarder.
    ///
    /// # Panics
    /// The URL has no user part.
    pub fn url(&self, url: &str) -> String {
        let (before, _, path) = parts(url);
        format!("{before}@{}/{path}", self.address)
    }

    /// Stops forwarding on all existing connections without closing them.
    pub fn blackhole(&self) {
        self.blackholed.send_modify(|times| *times += 1);
    }

    /// Closes all existing connections, as a server does that ends.
    pub fn close(&self) {
        self.closed.send_modify(|times| *times += 1);
    }
}

impl Drop for TcpForwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut inbound: TcpStream,
    target: String,
    (mut blackholed, mut closed): (watch::Receiver<u64>, watch::Receiver<u64>),
) {
    let Ok(mut outbound) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = blackholed.changed() => {}
        _ = closed.changed() => return,
        _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => return,
    }
    // The connection stays open and nothing reads from it.
    std::future::pending::<()>().await;
}

/// Splits a URL with a user into the part before the address, the address, and the path.
#[expect(clippy::expect_used, reason = "the URLs come from this crate")]
pub(super) fn parts(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.rsplit_once('@').expect("a URL with a user");
    let (address, path) = rest.split_once('/').expect("a URL with a path");
    (before, address, path)
}
