//! How the services begin transactions.

use latchkey_checks::service_sources;

/// Files with another way: the type itself; changes of administrators, which begin in a task; and
/// transactions of refresh-svc, whose `HeldConnection` has a `BoundedConnection`.
const OTHERWISE: [&str; 4] = [
    "crates/service/src/database/bounded_connection.rs",
    "crates/workspaces/src/store/audit.rs",
    "refresh-svc/src/store/erase.rs",
    "refresh-svc/src/store/failures.rs",
];

/// Whether a text begins a transaction on something else than a `BoundedConnection`.
fn begins_otherwise(text: &str) -> bool {
    let begins = text.contains(".begin().await");
    begins && (!text.contains("BoundedConnection") || text.contains("pool.begin()"))
        || text.contains("(*self.connection).begin()")
}

// R31
#[test]
fn a_transaction_begins_on_a_connection_that_is_closed_if_its_user_leaves() {
    let found = service_sources(begins_otherwise).unwrap();
    assert_eq!(found, OTHERWISE);
}
