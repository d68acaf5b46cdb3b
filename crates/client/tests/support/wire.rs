//! A wire between client and service that can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Carries bytes until it is cut.
pub struct Wire {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Wire {
    /// A wire to the service at `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let carried = Arc::clone(&connections);
        connections.lock().unwrap().spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(target).await.unwrap();
                carried.lock().unwrap().spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Cuts every connection at once, like a process killed, and takes no more.
    pub fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}
