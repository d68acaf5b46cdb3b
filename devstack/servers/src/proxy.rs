//! A TCP proxy in front of a server that does what networks do: swallows packets
//! without a reset, delays answers, and leads to another server after a fail-over.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::ServerError;

const BUFFER: usize = 64 * 1024;

/// Answers to statements with these bytes in them are delayed back for a while, so
/// often.
#[derive(Debug)]
struct Delay {
    bytes: Vec<u8>,
    delay: Duration,
    times: usize,
}

#[derive(Debug)]
struct Network {
    /// Where new connections lead.
    target: Mutex<SocketAddr>,
    /// Swallows the packets of the connections of before.
    generation: Mutex<CancellationToken>,
    delay: Mutex<Option<Delay>>,
    /// Connections whose answers are delayed back now.
    delayed: Mutex<HashSet<SocketAddr>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy on a port of 127.0.0.1. Dropping it takes no further connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of a server.
    ///
    /// # Errors
    /// The system has no port.
    pub async fn start(target: SocketAddr) -> Result<Self, ServerError> {
        let own = (Ipv4Addr::LOCALHOST, 0);
        let listener = TcpListener::bind(own).await;
        let listener = listener.map_err(ServerError::file("127.0.0.1"))?;
        let address = listener.local_addr();
        let address = address.map_err(ServerError::file("127.0.0.1"))?;
        let network = Arc::new(Network {
            target: Mutex::new(target),
            generation: Mutex::default(),
            delay: Mutex::default(),
            delayed: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&network)));
        Ok(Self {
            address,
            network,
            accepting,
        })
    }

    /// A URL of the server, through the proxy. What is no URL with a host is
    /// answered as it is.
    pub fn through(&self, url: &str) -> String {
        let Ok(mut through) = Url::parse(url) else {
            return url.to_owned();
        };
        let host = self.address.ip().to_string();
        if through.set_host(Some(&host)).is_err()
            || through.set_port(Some(self.address.port())).is_err()
        {
            return url.to_owned();
        }
        through.into()
    }

    /// From now on new connections lead to another server; those that stand stay
    /// where they are.
    pub fn set_target(&self, target: SocketAddr) {
        *locked(&self.network.target) = target;
    }

    /// From now on every packet of the present connections is swallowed, and
    /// neither side is notified. New connections work.
    pub fn drop_packets(&self) {
        let mut generation = locked(&self.network.generation);
        std::mem::take(&mut *generation).cancel();
    }

    /// Holds back the next answers to statements that have these bytes in them,
    /// e.g. an account's id: the database does them at once.
    pub fn delay_responses(&self, bytes: &[u8], delay: Duration, times: usize) {
        *locked(&self.network.delay) = Some(Delay {
            bytes: bytes.to_vec(),
            delay,
            times,
        });
    }

    /// Returns `true` once every answer was delayed back that was to be.
    pub fn has_delayed(&self) -> bool {
        let delay = locked(&self.network.delay);
        delay.as_ref().is_none_or(|delay| delay.times == 0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    while let Ok((client, peer)) = listener.accept().await {
        let target = *locked(&network.target);
        // A server that is gone refuses; so does the proxy, by closing.
        let Ok(server) = TcpStream::connect(target).await else {
            continue;
        };
        let dropped = locked(&network.generation).clone();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let upstream = (from_client, to_server);
        tokio::spawn(forward_requests(
            Arc::clone(&network),
            peer,
            upstream,
            dropped.clone(),
        ));
        let downstream = (from_server, to_client);
        tokio::spawn(forward_responses(
            Arc::clone(&network),
            peer,
            downstream,
            dropped,
        ));
    }
}

async fn forward_requests(
    network: Arc<Network>,
    peer: SocketAddr,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    dropped: CancellationToken,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if dropped.is_cancelled() {
            // Read and not passed on, and the way to the server stays open.
            if read == 0 {
                keep_open(to).await;
                return;
            }
            continue;
        }
        let sent = buffer.get(..read).unwrap_or_default();
        if sent.is_empty() {
            return;
        }
        mark_delayed(&network, peer, sent);
        if to.write_all(sent).await.is_err() {
            return;
        }
    }
}

/// Keeps the other side's connection open, as a network does that tells nothing.
async fn keep_open(_way: OwnedWriteHalf) {
    std::future::pending::<()>().await;
}

/// Marks a connection whose answer is to be delayed back.
fn mark_delayed(network: &Network, peer: SocketAddr, sent: &[u8]) {
    let mut delay = locked(&network.delay);
    if let Some(delay) = delay.as_mut().filter(|delay| delay.times > 0) {
        let bytes = &delay.bytes;
        if sent.windows(bytes.len()).any(|window| window == bytes) {
            delay.times -= 1;
            locked(&network.delayed).insert(peer);
        }
    }
}

async fn forward_responses(
    network: Arc<Network>,
    peer: SocketAddr,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    dropped: CancellationToken,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            () = dropped.cancelled() => {
                keep_open(to).await;
                return;
            }
        };
        let answered = buffer.get(..read).unwrap_or_default();
        if answered.is_empty() {
            return;
        }
        if locked(&network.delayed).remove(&peer) {
            let delay = locked(&network.delay).as_ref().map(|one| one.delay);
            tokio::time::sleep(delay.unwrap_or_default()).await;
        }
        if to.write_all(answered).await.is_err() {
            return;
        }
    }
}
