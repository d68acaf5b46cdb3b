//! A TCP proxy that can be cut or stalled.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards bytes until it is cut.
pub struct TcpProxy {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    stalled: watch::Sender<bool>,
}

impl TcpProxy {
    /// Starts a proxy to the service at `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let carried = Arc::clone(&connections);
        let (stalled, stall_receiver) = watch::channel(false);
        connections.lock().unwrap().spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(target).await.unwrap();
                let mut stall_receiver = stall_receiver.clone();
                carried.lock().unwrap().spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = stall_receiver.wait_for(|stalled| *stalled) => {}
                    }
                    // Both connections stay open, and nothing is forwarded.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self {
            address,
            connections,
            stalled,
        }
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Closes every connection at once, like a killed process, and accepts no more.
    pub fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    /// Forwards nothing any more and closes nothing, like a host that vanished.
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }
}
