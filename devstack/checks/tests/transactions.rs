//! How the services begin transactions.

use latchkey_checks::tracked;

/// Files with another way: the type itself; changes of administrators, which begin in a task; and
/// the connections of refresh-svc, which are closed if their user leaves.
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
    let mut found: Vec<String> = Vec::new();
    for file in tracked(&["rs"]).unwrap() {
        let of_a_service = [
            "auth-svc/src/",
            "sync-svc/src/",
            "refresh-svc/src/",
            "crates/",
        ];
        let of_a_service = of_a_service.iter().any(|it| file.path.starts_with(it));
        if of_a_service && !file.path.contains("test") && begins_otherwise(&file.text) {
            found.push(file.path);
        }
    }
    found.sort_unstable();
    assert_eq!(found, OTHERWISE);
}
