//! The load balancer in front of the nodes of RabbitMQ's cluster: new connections go to the first
//! node that answers. Existing ones stay where they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use latchkey_servers::Proxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(1);
/// A node that does not answer within this time is not used.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a client of AMQP 0-9-1 sends first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The type of a frame with a method: the server begins with `connection.start`.
const METHOD: u8 = 1;

/// The load balancer. It leaves the proxies as they are when it is dropped.
#[derive(Debug)]
pub(super) struct Balancer(AbortHandle);

impl Balancer {
    /// Directs the proxies to the nodes.
    pub(super) fn start(nodes: Vec<SocketAddr>, proxies: Vec<Arc<Proxy>>) -> Self {
        Self(tokio::spawn(balance(nodes, proxies)).abort_handle())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn balance(nodes: Vec<SocketAddr>, proxies: Vec<Arc<Proxy>>) {
    loop {
        for node in &nodes {
            if answers(*node).await {
                for proxy in &proxies {
                    proxy.set_target(*node);
                }
                break;
            }
        }
        sleep(INTERVAL).await;
    }
}

/// Returns whether a node begins an AMQP connection. A node that stands still accepts the TCP
/// connection and does not answer.
pub async fn answers(node: SocketAddr) -> bool {
    let asking = async {
        let mut connection = TcpStream::connect(node).await.ok()?;
        connection.write_all(PROTOCOL_HEADER).await.ok()?;
        connection.read_u8().await.ok()
    };
    timeout(TIMEOUT, asking).await == Ok(Some(METHOD))
}
