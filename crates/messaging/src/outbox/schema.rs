//! The outbox tables: one in the schema of each service.

/// The schema of a service, which has one outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// auth-svc: `auth.outbox`.
    Auth,
    /// sync-svc: `sync.outbox`.
    Sync,
    /// refresh-svc: `vault.outbox`.
    Vault,
}

macro_rules! per_schema {
    ($schema:expr, $before:literal, $after:literal) => {
        match $schema {
            $crate::outbox::schema::Schema::Auth => concat!($before, "auth", $after),
            $crate::outbox::schema::Schema::Sync => concat!($before, "sync", $after),
            $crate::outbox::schema::Schema::Vault => concat!($before, "vault", $after),
        }
    };
}
pub(crate) use per_schema;
