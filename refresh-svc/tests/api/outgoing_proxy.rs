//! R40, R45: refreshes go through the proxy of `HTTPS_PROXY`, and `SSL_CERT_FILE` names whom they
//! trust.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use latchkey_demo_provider::{Config, DemoProvider, Flavour, TlsFiles};
use latchkey_testkit::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::support::{Client, Process, World, refusal};

/// A proxy with the method CONNECT (RFC 9110 section 9.3.6).
struct ConnectProxy {
    address: SocketAddr,
    /// The first lines of the requests.
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl ConnectProxy {
    /// Starts a proxy that opens tunnels, or refuses them.
    async fn start(opens: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let served = serve(connection, opens, seen);
                tokio::spawn(tokio::time::timeout(PATIENCE, served));
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut inbound: TcpStream,
    opens: bool,
    requests: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(inbound.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.lock().unwrap().push(line);
    if !opens {
        return inbound
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            .await;
    }
    let mut outbound = TcpStream::connect(target).await?;
    inbound
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    tokio::io::copy_bidirectional(&mut inbound, &mut outbound)
        .await
        .map(drop)
}

/// A world whose provider serves TLS with a certificate of the tests' authority.
async fn world() -> World {
    let mut world = World::new().await;
    let server = &world.certificates.server;
    let config = Config {
        tls: Some(TlsFiles {
            certificate: server.certificate.clone(),
            key: server.key.clone(),
        }),
        ..Config::default()
    };
    world.demo = DemoProvider::start(config).await.unwrap();
    let authority = world.certificates.authority.to_str().unwrap().to_owned();
    world.with("SSL_CERT_FILE", &authority)
}

async fn client(world: &World, process: &Process) -> Client {
    Client::connect(process.grpc, &world.certificates).await
}

// R40
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_provider_go_through_the_proxy_unless_no_proxy_names_it() {
    let proxy = ConnectProxy::start(true).await;
    let world = world()
        .await
        .with("HTTPS_PROXY", &format!("http://{}", proxy.address));
    let connect = format!("CONNECT {} HTTP/1.1", world.demo.address());
    {
        let process = Process::start(&world);
        let account = world.expired(Flavour::Google).await;
        let token = client(&world, &process).await.get(account.id).await;
        assert_eq!(token.unwrap().version, 2);
    }
    let requests = proxy.requests();
    assert!(!requests.is_empty(), "the proxy was not used");
    assert!(requests.iter().all(|one| *one == connect), "{requests:?}");
    assert_eq!(world.demo.refreshes(Flavour::Google), 1);

    let world = world.with("NO_PROXY", "10.0.0.0/8,127.0.0.1");
    let process = Process::start(&world);
    let account = world.expired(Flavour::Google).await;
    let token = client(&world, &process).await.get(account.id).await;
    assert_eq!(token.unwrap().version, 2);
    assert_eq!(proxy.requests().len(), requests.len());
}

// R32, R40: nothing was sent, so the grant is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_a_fault_of_the_network() {
    let proxy = ConnectProxy::start(false).await;
    let world = world()
        .await
        .with("HTTPS_PROXY", &format!("http://{}", proxy.address));
    let process = Process::start(&world);
    let account = world.expired(Flavour::Google).await;
    let refused = refusal(client(&world, &process).await.get(account.id).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unavailable, "NETWORK")
    );
    assert!(!proxy.requests().is_empty());
    assert!(world.stored(&account).await.auth_failed_at.is_none());
}

// R40: without SSL_CERT_FILE the certificate of the tests' authority is not trusted.
#[tokio::test(flavor = "multi_thread")]
async fn only_authorities_of_ssl_cert_file_are_trusted() {
    let mut world = world().await;
    world.variables.retain(|(name, _)| name != "SSL_CERT_FILE");
    let process = Process::start(&world);
    let account = world.expired(Flavour::Google).await;
    let refused = refusal(client(&world, &process).await.get(account.id).await);
    assert_eq!(refused.reason, "NETWORK");
    assert_eq!(world.demo.refreshes(Flavour::Google), 0);
}
