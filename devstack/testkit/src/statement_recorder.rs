//! A forwarder to PostgreSQL that records the statements which its clients send.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A parameter of a statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Object id of its type in PostgreSQL.
    pub type_id: u32,
    /// Its value in the binary format; `None` is `NULL`.
    pub value: Option<Vec<u8>>,
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A failed test prints whole transactions, and values can be long.
        f.debug_struct("Parameter")
            .field("type_id", &self.type_id)
            .field("bytes", &self.value.as_ref().map(Vec::len))
            .finish()
    }
}

/// A statement that a client let the server execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, as it was sent.
    pub text: String,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Whether the server parsed it for this execution: it was not prepared on the connection
    /// before, or is never prepared, as `BEGIN` and `COMMIT`.
    pub parsed: bool,
}

impl Statement {
    fn ends_a_transaction(&self) -> bool {
        matches!(self.text.as_str(), "COMMIT" | "ROLLBACK")
    }
}

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
                if statement.ends_a_transaction() {
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
    let mut reader = Reader::default();
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

/// Reads the messages of a client
/// ([formats](https://www.postgresql.org/docs/current/protocol-message-formats.html)).
#[derive(Debug, Default)]
struct Reader {
    /// What is not read yet: less than a message.
    rest: Vec<u8>,
    /// Whether the start-up message was read. It, and a request for encryption before it, have no
    /// type.
    started: bool,
    /// Prepared statements by name: the text, and the types of the parameters.
    prepared: HashMap<Vec<u8>, (String, Vec<u32>)>,
    /// Names of the prepared statements that were not executed yet.
    unused: HashSet<Vec<u8>>,
    /// The statement that the last `Bind` named, and the values of its parameters.
    bound: (Vec<u8>, Vec<Option<Vec<u8>>>),
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Vec<Statement> {
        self.rest.extend_from_slice(bytes);
        let all = mem::take(&mut self.rest);
        let mut rest = all.as_slice();
        let mut statements = Vec::new();
        while let Some((kind, body, after)) = self.split(rest) {
            rest = after;
            statements.extend(self.message(kind, body));
        }
        self.rest = rest.to_vec();
        statements
    }

    /// The type of the first message (0 if it has none), its content, and what follows it.
    fn split<'b>(&self, bytes: &'b [u8]) -> Option<(u8, &'b [u8], &'b [u8])> {
        let (kind, bytes) = if self.started {
            let (kind, rest) = bytes.split_first()?;
            (*kind, rest)
        } else {
            (0, bytes)
        };
        // The length counts itself.
        let (length, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, after) = bytes.split_at_checked(length)?;
        Some((kind, message.get(4..)?, after))
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Option<Statement> {
        let mut body = Body(body);
        match kind {
            // The start-up message has protocol version 3; requests for encryption have 1234.
            0 => self.started = body.0.starts_with(&[0, 3]),
            b'Q' => {
                return Some(Statement {
                    text: text(body.text()?),
                    parameters: Vec::new(),
                    parsed: true,
                });
            }
            b'P' => {
                let name = body.text()?.to_vec();
                let statement = text(body.text()?);
                let types: Option<Vec<u32>> = (0..body.count()?).map(|_| body.number()).collect();
                self.unused.insert(name.clone());
                self.prepared.insert(name, (statement, types?));
            }
            b'B' => {
                let _portal = body.text()?;
                let name = body.text()?.to_vec();
                // The formats of the parameters.
                let formats = 2 * body.count()?;
                body.bytes(formats)?;
                self.bound = (name, body.values()?);
            }
            b'E' => {
                let (name, values) = &self.bound;
                let (text, types) = self.prepared.get(name)?.clone();
                let parameters = types.into_iter().zip(values.iter().cloned());
                return Some(Statement {
                    text,
                    parameters: parameters
                        .map(|(type_id, value)| Parameter { type_id, value })
                        .collect(),
                    parsed: self.unused.remove(name),
                });
            }
            _ => {}
        }
        None
    }
}

/// What is not read yet of the content of a message.
struct Body<'b>(&'b [u8]);

impl<'b> Body<'b> {
    fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text that ends with a zero.
    fn text(&mut self) -> Option<&'b [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }

    fn count(&mut self) -> Option<usize> {
        let bytes = self.bytes(2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    /// The values of all parameters. The length of `NULL` is -1.
    fn values(&mut self) -> Option<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::new();
        for _ in 0..self.count()? {
            values.push(match self.number()? {
                u32::MAX => None,
                length => Some(self.bytes(usize::try_from(length).ok()?)?.to_vec()),
            });
        }
        Some(values)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Splits a URL with a user into the part before the address, the address, and the path.
#[expect(clippy::expect_used, reason = "the URLs come from this crate")]
fn parts(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.rsplit_once('@').expect("a URL with a user");
    let (address, path) = rest.split_once('/').expect("a URL with a path");
    (before, address, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind, &length, body].concat()
    }

    #[test]
    fn statements_are_read_from_messages_that_arrive_byte_by_byte() {
        let sent = [
            message(b"", &[4, 210, 22, 47]),
            message(b"", b"\0\x03\0\0user\0ada\0\0"),
            message(b"Q", b"BEGIN\0"),
            message(b"P", b"s1\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\x19"),
            message(
                b"B",
                b"\0s1\0\0\x01\0\x01\0\x02\0\0\0\x01\x07\xff\xff\xff\xff\0\0",
            ),
            message(b"E", b"\0\0\0\0\0"),
            message(b"S", b""),
            message(b"B", b"\0s1\0\0\0\0\0"),
            message(b"E", b"\0\0\0\0\0"),
            message(b"Q", b"COMMIT\0"),
        ]
        .concat();
        let mut reader = Reader::default();
        let read: Vec<Statement> = sent
            .iter()
            .flat_map(|byte| reader.read(std::slice::from_ref(byte)))
            .collect();
        let parameters =
            [(23, Some(vec![7])), (25, None)].map(|(type_id, value)| Parameter { type_id, value });
        assert_eq!(read[1].parameters, parameters);
        let read: Vec<(&str, bool)> = read
            .iter()
            .map(|statement| (statement.text.as_str(), statement.parsed))
            .collect();
        assert_eq!(
            read,
            [
                ("BEGIN", true),
                ("SELECT $1", true),
                ("SELECT $1", false),
                ("COMMIT", true)
            ]
        );
    }
}
