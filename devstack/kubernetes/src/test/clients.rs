//! The callers' connections to refresh-svc, which are made anew when a certificate or an authority of
//! the callers is replaced.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::services::Services;

/// Connections of the callers.
const CONNECTIONS: usize = 8;
/// How long they may take on a busy machine.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);
/// How often the files are read, and a connection that failed is tried again.
const INTERVAL: Duration = Duration::from_secs(1);

/// The connections that calls take turns with.
#[derive(Debug)]
pub(super) struct Connections(Vec<TokenServiceClient<Channel>>);

impl Connections {
    /// Returns a client with the connection of a turn.
    pub(super) fn next(&self, turn: usize) -> Option<TokenServiceClient<Channel>> {
        self.0.get(turn % CONNECTIONS).cloned()
    }
}

/// The callers, which have one certificate.
pub(super) struct Clients {
    services: Arc<Services>,
    files: Vec<u8>,
    connections: watch::Sender<Connections>,
}

impl Clients {
    /// Connects to refresh-svc.
    pub(super) async fn connect(services: &Arc<Services>) -> anyhow::Result<Self> {
        let files = files(services)?;
        let begun = Instant::now();
        let connections = loop {
            match connect(services).await {
                Err(error) if begun.elapsed() > CONNECT_TIMEOUT => return Err(error),
                Err(_) => tokio::time::sleep(INTERVAL).await,
                Ok(connections) => break connections,
            }
        };
        Ok(Self {
            services: Arc::clone(services),
            files,
            connections: watch::Sender::new(connections),
        })
    }

    /// Returns the connections, which are replaced with the files.
    pub(super) fn connections(&self) -> watch::Receiver<Connections> {
        self.connections.subscribe()
    }

    /// Makes the connections anew when the files have changed, until it is stopped.
    pub(super) async fn follow_files(mut self, stopping: CancellationToken) {
        while stopping
            .run_until_cancelled(tokio::time::sleep(INTERVAL))
            .await
            .is_some()
        {
            // A file that is being written is read again.
            let Ok(files) = files(&self.services) else {
                continue;
            };
            if files != self.files
                && let Ok(connections) = connect(&self.services).await
            {
                self.connections.send_replace(connections);
                self.files = files;
            }
        }
    }
}

async fn connect(services: &Services) -> anyhow::Result<Connections> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(services.tokens(&services.client).await?);
    }
    Ok(Connections(connections))
}

/// Returns the contents of the callers' files.
fn files(services: &Services) -> anyhow::Result<Vec<u8>> {
    let mut contents = Vec::new();
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        let path = services.client.join(name);
        contents
            .extend(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(contents)
}
