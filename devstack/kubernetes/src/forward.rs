//! Ports of the host that lead into the network namespace of the cluster. The two sides meet at
//! a Unix socket, because a path is the same in every network namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use latchkey_servers::port_or_free;
use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

/// What is reached from the host, and the port that is used if it is free.
const TARGETS: [(Target, u16); 5] = [
    (Target::Api, 6443),
    (Target::Auth, 8080),
    (Target::DemoProvider, 8443),
    (Target::Refresh, 50051),
    (Target::Sync, 50052),
];

/// What a port of the host leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The Kubernetes API.
    Api,
    /// auth-svc over HTTP.
    Auth,
    /// The demo provider over HTTPS.
    DemoProvider,
    /// refresh-svc over gRPC.
    Refresh,
    /// sync-svc over gRPC.
    Sync,
}

/// A port of the host and what it leads to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forward {
    /// What it leads to.
    pub target: Target,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The Unix socket.
    pub socket: PathBuf,
}

impl Forward {
    /// Chooses a port for each target.
    ///
    /// # Errors
    /// No port is free.
    pub fn all(directory: &Path) -> anyhow::Result<Vec<Self>> {
        let forward = |(target, port): (Target, u16)| -> anyhow::Result<Self> {
            Ok(Self {
                target,
                port: port_or_free(port)?,
                socket: directory.join(format!("{target:?}.sock")),
            })
        };
        TARGETS.into_iter().map(forward).collect()
    }

    /// Accepts connections on the port of the host, for as long as the tasks live.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn listen_on_host(&self, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .await
            .with_context(|| format!("port {}", self.port))?;
        let socket = self.socket.clone();
        tasks.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let socket = socket.clone();
                tokio::spawn(async move {
                    // Without the other side, the client sees that the connection ends.
                    if let Ok(mut cluster) = UnixStream::connect(socket).await {
                        let _ = copy_bidirectional(&mut client, &mut cluster).await;
                    }
                });
            }
        });
        Ok(())
    }

    /// Leads the connections of the Unix socket to an address in the namespace, for as long as
    /// the tasks live.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn lead_to(&self, address: SocketAddr, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
        let listener =
            UnixListener::bind(&self.socket).with_context(|| self.socket.display().to_string())?;
        tasks.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut service) = TcpStream::connect(address).await {
                        let _ = copy_bidirectional(&mut client, &mut service).await;
                    }
                });
            }
        });
        Ok(())
    }
}
