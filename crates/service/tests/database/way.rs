//! A way to the database that forgets the connections that it has.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Way {
    address: SocketAddr,
    forgotten: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Way {
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let forgotten = watch::Sender::new(0);
        let signal = forgotten.clone();
        let task = tokio::spawn(async move {
            loop {
                let (inbound, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(inbound, target.clone(), signal.subscribe()));
            }
        });
        Self {
            address,
            forgotten,
            task,
        }
    }

    /// The URL through here.
    pub fn url(&self, url: &str) -> String {
        let (before, rest) = url.rsplit_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{before}@{}/{database}", self.address)
    }

    /// Swallows what comes over the connections that there are, and resets none.
    pub fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut inbound: TcpStream, target: String, mut forgotten: watch::Receiver<u64>) {
    let mut outbound = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        _ = forgotten.changed() => {}
        _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => return,
    }
    // Open, and nobody reads.
    std::future::pending::<()>().await;
}
