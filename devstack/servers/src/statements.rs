//! Reads the statements of a connection to PostgreSQL from the bytes that pass
//! ([formats](https://www.postgresql.org/docs/current/protocol-message-formats.html)). Nothing is
//! read of a connection that is encrypted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;

/// The requests to encrypt the connection with TLS and with GSSAPI. The server answers each with
/// one byte.
const ENCRYPTION_REQUESTS: [[u8; 4]; 2] = [[4, 210, 22, 47], [4, 210, 22, 48]];

/// A parameter of a statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Object id of its type in PostgreSQL.
    pub type_id: u32,
    /// Its value as it was sent, which is binary from sqlx; `None` is `NULL`.
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

/// A statement that a client lets the server execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, as it was sent.
    pub text: String,
    /// Whether the server parsed it for this execution: it was not prepared on the connection
    /// before, or is never prepared, as `BEGIN` and `COMMIT`.
    pub parsed: bool,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

impl Statement {
    /// Returns the value of the first parameter. Returns `None` if the value is `NULL`, and if the
    /// statement has no parameter.
    pub fn first_parameter(&self) -> Option<&[u8]> {
        self.parameters.first()?.value.as_deref()
    }
}

/// A statement that the server has executed. If it was not part of a longer transaction, it is
/// committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutedStatement {
    /// The statement.
    pub statement: Statement,
    /// What the server says was done, such as `COMMIT` and `UPDATE 1`.
    pub tag: String,
}

/// Reads what a client sends.
#[derive(Debug, Default)]
pub struct StatementReader {
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

/// What the server answers.
#[derive(Debug)]
enum Request {
    Encryption,
    Statement(Statement),
    /// The end of a group of statements, which the server answers with `ReadyForQuery`.
    Sync,
}

impl StatementReader {
    /// Reads bytes that the client sends, and returns the statements that are complete with them.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Statement> {
        let requests = self.requests(bytes).into_iter();
        let statements = requests.filter_map(|request| match request {
            Request::Statement(statement) => Some(statement),
            Request::Encryption | Request::Sync => None,
        });
        statements.collect()
    }

    fn requests(&mut self, bytes: &[u8]) -> Vec<Request> {
        self.rest.extend_from_slice(bytes);
        let all = mem::take(&mut self.rest);
        let mut rest = all.as_slice();
        let mut requests = Vec::new();
        while let Some((kind, body, after)) = split(rest, self.started) {
            rest = after;
            requests.extend(self.message(kind, body).map(Request::Statement));
            match kind {
                0 if ENCRYPTION_REQUESTS.iter().any(|request| body == request) => {
                    requests.push(Request::Encryption);
                }
                b'Q' | b'S' => requests.push(Request::Sync),
                _ => {}
            }
        }
        self.rest = rest.to_vec();
        requests
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Option<Statement> {
        let mut body = Body(body);
        match kind {
            // The start-up message has protocol version 3; requests for encryption have 1234.
            0 => self.started = body.0.starts_with(&[0, 3]),
            b'Q' => {
                return Some(Statement {
                    text: text(body.text()?),
                    parsed: true,
                    parameters: Vec::new(),
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
                // A client may leave a type to the server.
                let types = types.into_iter().chain(std::iter::repeat(0));
                let parameters = types.zip(values.iter().cloned());
                return Some(Statement {
                    text,
                    parsed: self.unused.remove(name),
                    parameters: parameters
                        .map(|(type_id, value)| Parameter { type_id, value })
                        .collect(),
                });
            }
            _ => {}
        }
        None
    }
}

/// Reads both directions of a connection.
#[derive(Debug, Default)]
pub struct Conversation {
    requests: StatementReader,
    /// What is not read yet of the responses: less than a message.
    rest: Vec<u8>,
    /// What the server has not answered yet.
    pending: VecDeque<Request>,
    /// What was executed since the last `ReadyForQuery`.
    executed: Vec<ExecutedStatement>,
    encryption_requested: bool,
    encrypted: bool,
}

impl Conversation {
    /// Reads bytes that the client sends, and returns the statements that are complete with them.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Statement> {
        if self.encrypted {
            return Vec::new();
        }
        let mut statements = Vec::new();
        for request in self.requests.requests(bytes) {
            match &request {
                Request::Encryption => {
                    self.encryption_requested = true;
                    continue;
                }
                Request::Statement(statement) => statements.push(statement.clone()),
                Request::Sync => {}
            }
            self.pending.push_back(request);
        }
        statements
    }

    /// Reads bytes that the server answers, and returns the statements whose success is complete
    /// with them: `ReadyForQuery` follows a commit, and `CommandComplete` may precede it.
    pub fn answered(&mut self, bytes: &[u8]) -> Vec<ExecutedStatement> {
        let mut bytes = bytes;
        if self.encryption_requested
            && let Some((answer, after)) = bytes.split_first()
        {
            self.encryption_requested = false;
            self.encrypted = *answer != b'N';
            bytes = after;
        }
        if self.encrypted {
            return Vec::new();
        }
        self.rest.extend_from_slice(bytes);
        let all = mem::take(&mut self.rest);
        let mut rest = all.as_slice();
        let mut executed = Vec::new();
        while let Some((kind, body, after)) = split(rest, true) {
            rest = after;
            match kind {
                // CommandComplete
                b'C' => self.complete(text(body.strip_suffix(&[0]).unwrap_or(body))),
                // EmptyQueryResponse and PortalSuspended
                b'I' | b's' => self.complete(String::new()),
                // ErrorResponse: what follows is not executed, and what precedes is rolled back.
                b'E' => self.executed.clear(),
                // ReadyForQuery
                b'Z' => {
                    while let Some(request) = self.pending.pop_front() {
                        if matches!(request, Request::Sync) {
                            break;
                        }
                    }
                    executed.append(&mut self.executed);
                }
                _ => {}
            }
        }
        self.rest = rest.to_vec();
        executed
    }

    /// The first statement that is not answered yet was executed.
    fn complete(&mut self, tag: String) {
        let Some(Request::Statement(statement)) = self.pending.front() else {
            return;
        };
        self.executed.push(ExecutedStatement {
            statement: statement.clone(),
            tag,
        });
        self.pending.pop_front();
    }
}

/// The type of the first message (0 if it has none), its content, and what follows it.
fn split(bytes: &[u8], typed: bool) -> Option<(u8, &[u8], &[u8])> {
    let (kind, bytes) = if typed {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind, &length, body].concat()
    }

    /// A client asks for encryption, which the server refuses, and runs a transaction and then a
    /// statement that fails. Each part is from the client (`true`) or from the server.
    fn parts() -> Vec<(bool, Vec<u8>)> {
        let bind = b"\0s1\0\0\x01\0\x01\0\x01\0\0\0\x02\x07\x08\0\x01\0\x01";
        let execute = [
            message(b"B", bind),
            message(b"E", b"\0\0\0\0\0"),
            message(b"C", b"P\0"),
            message(b"S", b""),
        ]
        .concat();
        let simple = |text: &[u8]| message(b"Q", &[text, b"\0"].concat());
        let done = |tag: &[u8]| message(b"C", &[tag, b"\0"].concat());
        let bound = message(b"2", b"");
        let ready = message(b"Z", b"T");
        let idle = message(b"Z", b"I");
        let updated = [bound.clone(), done(b"UPDATE 1"), ready.clone()].concat();
        vec![
            (true, message(b"", &[4, 210, 22, 47])),
            (false, b"N".to_vec()),
            (true, message(b"", b"\0\x03\0\0user\0ada\0\0")),
            (false, [message(b"R", &[0; 4]), idle.clone()].concat()),
            (true, simple(b"BEGIN")),
            (
                false,
                [message(b"N", b"a notice\0"), done(b"BEGIN"), ready.clone()].concat(),
            ),
            (
                true,
                [
                    message(b"P", b"s1\0UPDATE $1\0\0\x01\0\0\0\x17"),
                    execute.clone(),
                ]
                .concat(),
            ),
            (false, [message(b"1", b""), updated.clone()].concat()),
            (
                true,
                [
                    execute.clone(),
                    simple(b"COMMIT"),
                    execute,
                    simple(b"ROLLBACK"),
                ]
                .concat(),
            ),
            (
                false,
                [
                    updated,
                    done(b"COMMIT"),
                    idle.clone(),
                    bound,
                    message(b"E", b"SERROR\0\0"),
                    idle.clone(),
                    done(b"ROLLBACK"),
                    idle,
                ]
                .concat(),
            ),
        ]
    }

    type Read = (Vec<Statement>, Vec<ExecutedStatement>);

    /// Reads the parts in pieces of these lengths, which are used in turn.
    fn read(lengths: &[usize]) -> Read {
        let mut conversation = Conversation::default();
        let mut lengths = lengths.iter().cycle();
        let (mut sent, mut executed) = (Vec::new(), Vec::new());
        for (from_client, bytes) in parts() {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let length = (*lengths.next().unwrap()).min(rest.len());
                let (piece, after) = rest.split_at(length);
                rest = after;
                if from_client {
                    sent.extend(conversation.sent(piece));
                } else {
                    executed.extend(conversation.answered(piece));
                }
            }
        }
        (sent, executed)
    }

    fn statement(text: &str, parsed: bool, first_parameter: Option<&[u8]>) -> Statement {
        let parameters = first_parameter.map(|value| Parameter {
            type_id: 23,
            value: Some(value.to_vec()),
        });
        Statement {
            text: text.to_owned(),
            parsed,
            parameters: parameters.into_iter().collect(),
        }
    }

    #[test]
    fn sent_and_executed_statements_are_read() {
        let update = |parsed| statement("UPDATE $1", parsed, Some(&[7, 8]));
        let [begin, commit, rollback] =
            ["BEGIN", "COMMIT", "ROLLBACK"].map(|text| statement(text, true, None));
        let executed = |statement: &Statement, tag: &str| ExecutedStatement {
            statement: statement.clone(),
            tag: tag.to_owned(),
        };
        let (sent, done) = read(&[usize::MAX]);
        assert_eq!(
            done,
            [
                executed(&begin, "BEGIN"),
                executed(&update(true), "UPDATE 1"),
                executed(&update(false), "UPDATE 1"),
                executed(&commit, "COMMIT"),
                // The failed one before it is left out.
                executed(&rollback, "ROLLBACK"),
            ]
        );
        let all = [
            begin,
            update(true),
            update(false),
            commit,
            update(false),
            rollback,
        ];
        assert_eq!(sent, all);
    }

    #[test]
    fn nothing_is_read_of_an_encrypted_connection() {
        let mut conversation = Conversation::default();
        conversation.sent(&message(b"", &[4, 210, 22, 47]));
        assert_eq!(conversation.answered(b"S"), []);
        assert_eq!(conversation.sent(&message(b"Q", b"BEGIN\0")), []);
    }

    proptest! {
        #[test]
        fn messages_may_be_split_at_any_byte(lengths in prop::collection::vec(1_usize..40, 1..20)) {
            prop_assert_eq!(read(&lengths), read(&[usize::MAX]));
        }
    }
}
