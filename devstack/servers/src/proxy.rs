//! A TCP proxy in front of a server that simulates network faults: it drops packets without a
//! reset, delays responses, disturbs all of its connections, connects to another server after a
//! fail-over, and holds a packet that a watch names.

mod disturbance;
mod packet_watch;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::ServerError;
use disturbance::write;
pub use disturbance::{Direction, Disturbance};
use packet_watch::Watched;
pub use packet_watch::{Verdict, Watch, WatchedConnection};

const BUFFER: usize = 64 * 1024;

/// Delays the responses to statements that contain `bytes`, `times` times.
#[derive(Debug)]
struct ResponseDelay {
    bytes: Vec<u8>,
    duration: Duration,
    times: usize,
}

#[derive(Debug)]
struct Network {
    /// Server of new connections.
    target: Mutex<SocketAddr>,
    /// Cancelled to drop the packets of the connections that exist at that time.
    generation: Mutex<CancellationToken>,
    delay: Mutex<Option<ResponseDelay>>,
    /// Clients whose next response is delayed.
    delayed: Mutex<HashSet<SocketAddr>>,
    /// What happens to the packets of every connection.
    disturbance: watch::Sender<Option<Disturbance>>,
    /// Cancelled to close the connections that exist at that time.
    closing: Mutex<CancellationToken>,
    /// Sees the packets of new connections.
    watch: Mutex<Option<Arc<dyn Watch>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy on a port of 127.0.0.1. It accepts no more connections after it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of a server.
    ///
    /// # Errors
    /// No port can be bound.
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
            disturbance: watch::Sender::default(),
            closing: Mutex::default(),
            watch: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&network)));
        Ok(Self {
            address,
            network,
            accepting,
        })
    }

    /// Starts a proxy in front of the server of a URL, and returns the URL of the proxy too.
    ///
    /// # Errors
    /// The URL has no host and port that are known, or no port can be bound.
    pub async fn in_front_of(url: &str) -> Result<(Self, String), ServerError> {
        let unusable = |problem: String| ServerError::File {
            path: "the URL of a server".into(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, problem),
        };
        let server = Url::parse(url).map_err(|error| unusable(error.to_string()))?;
        let addresses = server.socket_addrs(|| None);
        let addresses = addresses.map_err(|error| unusable(error.to_string()))?;
        let address = *addresses
            .first()
            .ok_or_else(|| unusable("it has no address".to_owned()))?;
        let proxy = Self::start(address).await?;
        let through = proxy.through(url);
        Ok((proxy, through))
    }

    /// Returns the address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a URL of the server with the address of the proxy. A text that is not a URL with
    /// a host is returned unchanged.
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

    /// Connects new connections to another server. Existing connections stay with theirs.
    pub fn set_target(&self, target: SocketAddr) {
        *locked(&self.network.target) = target;
    }

    /// Drops every packet of the existing connections from now on without notifying either
    /// side. New connections work.
    pub fn drop_packets(&self) {
        let mut generation = locked(&self.network.generation);
        std::mem::take(&mut *generation).cancel();
    }

    /// Disturbs the existing connections and the new ones until it is called with another value;
    /// `None` ends the disturbance.
    pub fn disturb(&self, disturbance: Option<Disturbance>) {
        self.network.disturbance.send_replace(disturbance);
    }

    /// Closes the existing connections on both sides. New connections work.
    pub fn close_connections(&self) {
        let mut closing = locked(&self.network.closing);
        std::mem::take(&mut *closing).cancel();
    }

    /// Lets a watch see the packets of the connections that begin from now on.
    pub fn watch(&self, watch: Arc<dyn Watch>) {
        *locked(&self.network.watch) = Some(watch);
    }

    /// Delays the next responses to statements that contain these bytes, such as an account's
    /// id. The database executes the statements without delay.
    pub fn delay_responses(&self, bytes: &[u8], duration: Duration, times: usize) {
        *locked(&self.network.delay) = Some(ResponseDelay {
            bytes: bytes.to_vec(),
            duration,
            times,
        });
    }

    /// Returns `true` once all responses that were to be delayed have been marked.
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
        // Before the target: who changes the target and then closes the connections leaves none to
        // the old one.
        let closing = locked(&network.closing).clone();
        let target = *locked(&network.target);
        // If the server refuses the connection, the proxy closes the client's.
        let Ok(server) = TcpStream::connect(target).await else {
            continue;
        };
        let dropped = locked(&network.generation).clone();
        let watched = Watched::by(locked(&network.watch).as_ref());
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let upstream = (from_client, to_server, watched.clone());
        let requests = forward_requests(Arc::clone(&network), peer, upstream, dropped.clone());
        let downstream = (from_server, to_client, watched);
        let responses = forward_responses(Arc::clone(&network), peer, downstream, dropped);
        tokio::spawn(closing.clone().run_until_cancelled_owned(requests));
        tokio::spawn(closing.run_until_cancelled_owned(responses));
    }
}

async fn forward_requests(
    network: Arc<Network>,
    peer: SocketAddr,
    (mut from, mut to, watched): (OwnedReadHalf, OwnedWriteHalf, Watched),
    dropped: CancellationToken,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if dropped.is_cancelled() {
            // The data is dropped, and the connection to the server stays open.
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
        if !watched.lets_pass(Direction::Request, sent).await {
            return;
        }
        mark_delayed(&network, peer, sent);
        let disturbance = network.disturbance.subscribe();
        if write(&mut to, sent, Direction::Request, disturbance)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Keeps the connection to the other side open, as a network that drops packets does.
async fn keep_open(_connection: OwnedWriteHalf) {
    std::future::pending::<()>().await;
}

/// Marks a connection if its next response is to be delayed.
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
    (mut from, mut to, watched): (OwnedReadHalf, OwnedWriteHalf, Watched),
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
        if !watched.lets_pass(Direction::Response, answered).await {
            return;
        }
        if locked(&network.delayed).remove(&peer) {
            let delay = locked(&network.delay).as_ref().map(|one| one.duration);
            tokio::time::sleep(delay.unwrap_or_default()).await;
        }
        let disturbance = network.disturbance.subscribe();
        if write(&mut to, answered, Direction::Response, disturbance)
            .await
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::timeout;

    use super::*;

    /// Long enough for a packet that is not held.
    const LONG: Duration = Duration::from_secs(30);

    /// Returns a proxy in front of a server that sends everything back, and a connection to it.
    async fn echo() -> (Proxy, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = connection.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let client = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, client)
    }

    async fn receives(client: &mut TcpStream, limit: Duration) -> Option<u8> {
        let mut byte = [0];
        let read = timeout(limit, client.read_exact(&mut byte)).await.ok()?;
        read.is_ok().then_some(byte[0])
    }

    #[tokio::test]
    async fn what_a_disturbance_holds_arrives_when_it_ends() {
        let (proxy, mut client) = echo().await;
        let held = [
            Disturbance::Held,
            Disturbance::ResponsesHeld,
            Disturbance::RequestsHeld,
        ];
        for disturbance in held {
            proxy.disturb(Some(disturbance));
            client.write_all(b"x").await.unwrap();
            let early = receives(&mut client, Duration::from_millis(200)).await;
            assert_eq!(early, None, "{disturbance:?}");
            proxy.disturb(None);
            assert_eq!(receives(&mut client, LONG).await, Some(b'x'));
        }
    }

    #[tokio::test]
    async fn slow_packets_arrive_whole() {
        let (proxy, mut client) = echo().await;
        let every = Duration::from_millis(1);
        let slow = [
            Disturbance::Delayed(every),
            Disturbance::Dripping { bytes: 1, every },
        ];
        for disturbance in slow {
            proxy.disturb(Some(disturbance));
            client.write_all(b"xyz").await.unwrap();
            for byte in b"xyz" {
                assert_eq!(receives(&mut client, LONG).await, Some(*byte));
            }
        }
    }

    #[tokio::test]
    async fn closed_connections_end_and_new_ones_work() {
        let (proxy, mut client) = echo().await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(receives(&mut client, LONG).await, Some(b'x'));
        proxy.close_connections();
        let mut byte = [0];
        let ended = timeout(LONG, client.read(&mut byte)).await.unwrap();
        assert_eq!(ended.unwrap_or(0), 0);
        let mut again = TcpStream::connect(proxy.address).await.unwrap();
        again.write_all(b"y").await.unwrap();
        assert_eq!(receives(&mut again, LONG).await, Some(b'y'));
    }

    /// Holds each packet with an `x` in this direction, and hands its release over.
    #[derive(Debug, Clone)]
    struct HoldsX(Direction, mpsc::UnboundedSender<oneshot::Sender<()>>);

    impl Watch for HoldsX {
        fn connected(&self) -> Box<dyn WatchedConnection> {
            Box::new(self.clone())
        }
    }

    impl WatchedConnection for HoldsX {
        fn passes(&mut self, direction: Direction, packet: &[u8]) -> Verdict {
            if direction != self.0 || !packet.contains(&b'x') {
                return Verdict::Forward;
            }
            let (release, released) = oneshot::channel();
            self.1.send(release).unwrap();
            Verdict::Hold(released)
        }
    }

    #[tokio::test]
    async fn a_packet_that_a_watch_holds_is_forwarded_or_lost() {
        for direction in [Direction::Request, Direction::Response] {
            let (proxy, mut unseen) = echo().await;
            // Answered, so that this connection begins before the watch.
            unseen.write_all(b"y").await.unwrap();
            assert_eq!(receives(&mut unseen, LONG).await, Some(b'y'));
            let (releases, mut release) = mpsc::unbounded_channel();
            proxy.watch(Arc::new(HoldsX(direction, releases)));
            let mut client = TcpStream::connect(proxy.address).await.unwrap();
            client.write_all(b"y").await.unwrap();
            assert_eq!(receives(&mut client, LONG).await, Some(b'y'));

            client.write_all(b"x").await.unwrap();
            let forward = timeout(LONG, release.recv()).await.unwrap().unwrap();
            let early = receives(&mut client, Duration::from_millis(200)).await;
            assert_eq!(early, None, "{direction:?}");
            forward.send(()).unwrap();
            assert_eq!(receives(&mut client, LONG).await, Some(b'x'));

            client.write_all(b"x").await.unwrap();
            drop(timeout(LONG, release.recv()).await.unwrap().unwrap());
            let mut byte = [0];
            let ended = timeout(LONG, client.read(&mut byte)).await.unwrap();
            assert_eq!(ended.unwrap_or(0), 0, "{direction:?}");
            unseen.write_all(b"x").await.unwrap();
            assert_eq!(receives(&mut unseen, LONG).await, Some(b'x'));
        }
    }
}
