//! Writes many rows of an audit table with one `COPY` in binary format
//! (<https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4>), which costs
//! the database a quarter of an `INSERT` of arrays.

use std::net::SocketAddr;
use std::sync::Arc;

use latchkey_domain::ScopeSet;
use latchkey_service::database::BoundedConnection;
use sqlx::PgPool;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::record::Record;

/// The audit table of a service; the tables have the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `vault.audit`, of refresh-svc.
    Vault,
    /// `sync.audit`, of sync-svc.
    Sync,
}

macro_rules! copy {
    ($table:literal) => {
        concat!(
            "COPY ",
            $table,
            " (id, at, caller, peer, method, account_id, workspace_id, provider,
               granted_scopes, outcome, reason, trace_id)
             FROM STDIN (FORMAT binary)"
        )
    };
}

impl Table {
    const fn copy(self) -> &'static str {
        match self {
            Self::Vault => copy!("vault.audit"),
            Self::Sync => copy!("sync.audit"),
        }
    }

    pub(super) const fn prune(self) -> &'static str {
        match self {
            Self::Vault => "SELECT vault.audit_prune(make_interval(secs => $1), $2)",
            Self::Sync => "SELECT sync.audit_prune(make_interval(secs => $1), $2)",
        }
    }
}

/// Number of columns.
const COLUMNS: i16 = 12;
/// Signature, flags, length of the extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the rows, in place of a number of columns.
const TRAILER: i16 = -1;
/// `NULL`, in place of a length.
const NULL: i32 = -1;
/// The zero of the type `timestamptz`.
const EPOCH: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);
/// Size of the pieces that are sent: it fits into the buffer of the connection. A larger
/// buffer would be allocated for every batch, which costs a call more than its record.
const CHUNK_SIZE: usize = 4096;

/// Length of the longest IPv4 address with a port, in bytes.
const LONGEST_V4: usize = "255.255.255.255:65535".len();

/// Encoded rows of the table.
#[derive(Debug)]
pub(super) struct Rows {
    table: Table,
    bytes: Vec<u8>,
    /// The text of the last scopes: most accounts have the same list.
    scopes: Option<(Arc<ScopeSet>, String)>,
}

impl Rows {
    /// No rows yet.
    pub(super) const fn new(table: Table) -> Self {
        Self {
            table,
            bytes: Vec::new(),
            scopes: None,
        }
    }

    /// Encodes the records in place of the rows before. Each row gets its id here, so that
    /// rows that are sent twice have the same ids.
    pub(super) fn set(&mut self, records: &[Record]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(HEADER);
        // One random number for all of them, increased by one for each.
        let first = Uuid::now_v7().as_u128();
        for (number, record) in (0_u128..).zip(records) {
            self.row(Uuid::from_u128(first.wrapping_add(number)), record);
        }
        self.bytes.extend_from_slice(&TRAILER.to_be_bytes());
    }

    /// Inserts all rows or none.
    ///
    /// # Errors
    /// The database refused the rows, or did not confirm them.
    pub(super) async fn insert(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = BoundedConnection::acquire(pool).await?;
        let mut copy = connection.copy_in_raw(self.table.copy()).await?;
        for chunk in self.bytes.chunks(CHUNK_SIZE) {
            copy.send(chunk).await?;
        }
        match copy.finish().await {
            Ok(_) => {
                connection.return_untested();
                Ok(())
            }
            // An earlier attempt inserted the rows, and its confirmation was lost.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn row(&mut self, id: Uuid, record: &Record) {
        self.bytes.extend_from_slice(&COLUMNS.to_be_bytes());
        self.value(id.as_bytes());
        let at = (record.at - EPOCH).whole_microseconds();
        self.value(&i64::try_from(at).unwrap_or(i64::MAX).to_be_bytes());
        self.text(&record.caller);
        self.optional(record.peer, Self::address);
        self.value(record.method.as_bytes());
        self.id(record.account.map(|id| id.as_uuid()));
        self.id(record.workspace.map(|id| id.as_uuid()));
        self.optional(record.provider.as_ref(), |rows, provider| {
            rows.value(provider.as_str().as_bytes());
        });
        self.optional(record.granted_scopes.as_ref(), Self::scopes);
        self.value(record.outcome.as_str().as_bytes());
        self.optional(record.reason.as_deref(), Self::text);
        self.optional(record.trace_id, |rows, id| {
            // The 32 hexadecimal digits, without the formatting machinery of `Display`.
            let id = Uuid::from_bytes(id.to_bytes()).simple();
            rows.value(id.encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        });
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    fn id(&mut self, id: Option<Uuid>) {
        self.optional(id, |rows, id| rows.value(id.as_bytes()));
    }

    fn scopes(&mut self, scopes: &Arc<ScopeSet>) {
        let (_, text) = self
            .scopes
            .take_if(|(last, _)| Arc::ptr_eq(last, scopes))
            .unwrap_or_else(|| (Arc::clone(scopes), scopes.to_string()));
        self.text(&text);
        self.scopes = Some((Arc::clone(scopes), text));
    }

    /// The same text as that of `Display`, which costs more than the rest of the row.
    fn address(&mut self, address: SocketAddr) {
        let SocketAddr::V4(address) = address else {
            return self.value(address.to_string().as_bytes());
        };
        let mut text = Vec::with_capacity(LONGEST_V4);
        for (octet, separator) in address.ip().octets().into_iter().zip(*b"...:") {
            text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            text.push(separator);
        }
        text.extend_from_slice(itoa::Buffer::new().format(address.port()).as_bytes());
        self.value(&text);
    }

    fn text(&mut self, text: &str) {
        if text.contains('\0') {
            // PostgreSQL's `text` cannot hold it, and one record must not stop the others.
            self.value(text.replace('\0', "\u{fffd}").as_bytes());
        } else {
            self.value(text.as_bytes());
        }
    }

    fn value(&mut self, value: &[u8]) {
        let Ok(length) = i32::try_from(value.len()) else {
            return self.null();
        };
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(&NULL.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_has_the_text_of_display(address: SocketAddr) {
            let mut rows = Rows::new(Table::Vault);
            rows.address(address);
            let text = address.to_string();
            prop_assert_eq!(&rows.bytes[4..], text.as_bytes());
            prop_assert_eq!(&rows.bytes[..4], i32::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
}
