//! A TCP proxy in front of the database that does what networks do: swallows
//! packets without a reset, and delays answers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Answers to statements with these bytes in them are held back for a while, so
/// often.
struct Holding {
    bytes: Vec<u8>,
    delay: Duration,
    times: usize,
}

#[derive(Default)]
struct Network {
    /// Swallows the packets of the connections of before.
    generation: Mutex<CancellationToken>,
    holding: Mutex<Option<Holding>>,
    /// Connections whose answers are held back now.
    held: Mutex<HashSet<SocketAddr>>,
}

pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
}

impl Proxy {
    /// A proxy in front of the server of a URL.
    pub async fn start(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::new(Network::default());
        let accepting = Arc::clone(&network);
        tokio::spawn(async move {
            loop {
                let (client, peer) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&target).await.unwrap();
                let swallow = accepting.generation.lock().unwrap().clone();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let network = Arc::clone(&accepting);
                let there = (from_client, to_server);
                tokio::spawn(ask(network, peer, there, swallow.clone()));
                let network = Arc::clone(&accepting);
                let back = (from_server, to_client);
                tokio::spawn(answer(network, peer, back, swallow));
            }
        });
        Self { address, network }
    }

    /// The URL, through the proxy.
    pub fn through(&self, url: &str) -> String {
        let mut url = Url::parse(url).unwrap();
        url.set_host(Some(&self.address.ip().to_string())).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }

    /// From now on every packet of the present connections is swallowed, and
    /// neither side is told. New connections work.
    pub fn swallow(&self) {
        let mut generation = self.network.generation.lock().unwrap();
        std::mem::take(&mut *generation).cancel();
    }

    /// Holds back the next answers to statements that have these bytes in them,
    /// e.g. an account's id: the database does them at once.
    pub fn hold_answers(&self, bytes: &[u8], delay: Duration, times: usize) {
        *self.network.holding.lock().unwrap() = Some(Holding {
            bytes: bytes.to_vec(),
            delay,
            times,
        });
    }

    /// Returns `true` once every answer was held back that was to be.
    pub fn has_held(&self) -> bool {
        let holding = self.network.holding.lock().unwrap();
        holding.as_ref().is_none_or(|holding| holding.times == 0)
    }
}

async fn ask(
    network: Arc<Network>,
    peer: SocketAddr,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    swallow: CancellationToken,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if swallow.is_cancelled() {
            // Read and not passed on, and the way to the server stays open.
            if read == 0 {
                swallow_for_good(to).await;
            }
            continue;
        }
        if read == 0 {
            return;
        }
        note(&network, peer, &buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Keeps the other side's connection open, as a network does that tells nothing.
async fn swallow_for_good(to: OwnedWriteHalf) -> ! {
    std::future::pending::<()>().await;
    drop(to);
    unreachable!("it waits for ever")
}

/// Marks a connection whose answer is to be held back.
fn note(network: &Network, peer: SocketAddr, sent: &[u8]) {
    let mut holding = network.holding.lock().unwrap();
    if let Some(holding) = holding.as_mut().filter(|holding| holding.times > 0) {
        let bytes = &holding.bytes;
        if sent.windows(bytes.len()).any(|window| window == bytes) {
            holding.times -= 1;
            network.held.lock().unwrap().insert(peer);
        }
    }
}

async fn answer(
    network: Arc<Network>,
    peer: SocketAddr,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    swallow: CancellationToken,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            () = swallow.cancelled() => swallow_for_good(to).await,
        };
        if read == 0 {
            return;
        }
        let held = network.held.lock().unwrap().remove(&peer);
        if held {
            let delay = network.holding.lock().unwrap().as_ref().unwrap().delay;
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
