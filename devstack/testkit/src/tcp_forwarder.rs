//! A way to a server that forgets the connections that it has.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A way to a server: a port that forwards to it.
#[derive(Debug)]
pub struct TcpForwarder {
    address: SocketAddr,
    blackholed: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl TcpForwarder {
    /// A way to the server of a URL.
    ///
    /// # Panics
    /// The URL has no user, or no port is free.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start(url: &str) -> Self {
        let target = parts(url).1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("no port is free");
        let address = listener.local_addr().expect("no address");
        let blackholed = watch::Sender::new(0);
        let signal = blackholed.clone();
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                tokio::spawn(forward(inbound, target.clone(), signal.subscribe()));
            }
        });
        Self {
            address,
            blackholed,
            task,
        }
    }

    /// The URL through here.
    ///
    /// # Panics
    /// It has no user.
    pub fn url(&self, url: &str) -> String {
        let (before, _, path) = parts(url);
        format!("{before}@{}/{path}", self.address)
    }

    /// Swallows what comes over the connections that there are, and resets none.
    pub fn blackhole(&self) {
        self.blackholed.send_modify(|times| *times += 1);
    }
}

impl Drop for TcpForwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut inbound: TcpStream, target: String, mut blackholed: watch::Receiver<u64>) {
    let Ok(mut outbound) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = blackholed.changed() => {}
        _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => return,
    }
    // Open, and nobody reads.
    std::future::pending::<()>().await;
}

/// What stands before the address of a URL with a user, the address, the path.
#[expect(clippy::expect_used, reason = "a URL of the testkit's own")]
fn parts(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.rsplit_once('@').expect("a URL with a user");
    let (address, path) = rest.split_once('/').expect("a URL with a path");
    (before, address, path)
}
