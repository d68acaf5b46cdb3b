//! A forwarder to PostgreSQL that records the statements which its clients send.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_servers::{Statement, StatementReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A port that forwards connections to PostgreSQL and records their statements. It stops when it
/// is dropped. The connections must not be encrypted, and those of the test server are not.
#[derive(Debug)]
pub struct StatementRecorder {
    address: SocketAddr,
    connections: Connections,
    accepting: AbortHandle,
}

/// The statements of each connection, in the order in which they were sent.
type Connections = Arc<Mutex<Vec<Vec<Statement>>>>;

impl StatementRecorder {
    /// Starts a recorder in front of the server of a URL.
    ///
    /// # Panics
    /// The URL has no user part, or no port is free.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start(url: &str) -> Self {
        let server = parts(url).1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("no port is free");
        let address = listener.local_addr().expect("no address");
        let connections = Connections::default();
        let recorded = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), Arc::clone(&recorded)));
            }
        });
        Self {
            address,
            connections,
            accepting: accepting.abort_handle(),
        }
    }

    /// Returns the URL with the address of this recorder.
    ///
    /// # Panics
    /// The URL has no user part.
    pub fn url(&self, url: &str) -> String {
        let (before, _, path) = parts(url);
        format!("{before}@{}/{path}", self.address)
    }

    /// Removes the statements that were recorded until now, and returns those whose text contains
    /// `part`.
    pub fn take(&self, part: &str) -> Vec<Statement> {
        let mut taken = Vec::new();
        for statements in self.connections().iter_mut() {
            taken.append(statements);
        }
        taken.retain(|statement| statement.text.contains(part));
        taken
    }

    /// Returns the transactions that have ended and have a statement whose text contains `part`:
    /// each from `BEGIN` to `COMMIT` or `ROLLBACK`.
    pub fn transactions(&self, part: &str) -> Vec<Vec<Statement>> {
        let mut found = Vec::new();
        for statements in self.connections().iter() {
            let mut transaction: Option<Vec<Statement>> = None;
            for statement in statements {
                if statement.text == "BEGIN" {
                    transaction = Some(Vec::new());
                }
                let Some(current) = &mut transaction else {
                    continue;
                };
                current.push(statement.clone());
                if matches!(statement.text.as_str(), "COMMIT" | "ROLLBACK") {
                    found.extend(transaction.take());
                }
            }
        }
        found.retain(|statements| statements.iter().any(|one| one.text.contains(part)));
        found
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Vec<Statement>>> {
        lock(&self.connections)
    }
}

impl Drop for StatementRecorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(connections: &Connections) -> MutexGuard<'_, Vec<Vec<Statement>>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(client: TcpStream, server: String, connections: Connections) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let index = {
        let mut connections = lock(&connections);
        connections.push(Vec::new());
        connections.len() - 1
    };
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = record(from_client, &mut to_server, |statement| {
            if let Some(statements) = lock(&connections).get_mut(index) {
                statements.push(statement);
            }
        }) => {}
    }
}

/// Forwards what the client sends. A statement is recorded before the server has it.
async fn record(
    mut client: OwnedReadHalf,
    server: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut statement: impl FnMut(Statement),
) -> std::io::Result<()> {
    let mut reader = StatementReader::default();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = client.read(&mut bytes).await?;
        let Some(sent) = bytes.get(..read).filter(|sent| !sent.is_empty()) else {
            return Ok(());
        };
        reader.read(sent).into_iter().for_each(&mut statement);
        server.write_all(sent).await?;
    }
}

/// Splits a URL with a user into the part before the address, the address, and the path.
#[expect(clippy::expect_used, reason = "the URLs come from this crate")]
fn parts(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.rsplit_once('@').expect("a URL with a user");
    let (address, path) = rest.split_once('/').expect("a URL with a path");
    (before, address, path)
}
