//! Statements whose `LIMIT` is a parameter. A connection of a service plans a statement once for all
//! arguments (decision 42), and for such a limit PostgreSQL assumes a tenth of the rows. With ten million
//! rows it then read a whole table to join the 1,000 that were meant.

use latchkey_checks::service_sources;

/// Files whose statements have such a limit: their callers choose it, and they join rows of one person or
/// one workspace only, or none at all, or are of commands of an operator, which are planned each time.
const CHOSEN_BY_THE_CALLER: [&str; 7] = [
    "auth-svc/src/store/session/list.rs",
    "crates/accounts/src/store/account.rs",
    "crates/messaging/src/outbox/relay/lag.rs",
    "crates/messaging/src/outbox/relay/publisher.rs",
    "crates/workspaces/src/store/audit.rs",
    "refresh-svc/src/store.rs",
    "refresh-svc/src/store/key_sample.rs",
];

/// A command of an operator in a file with statements of the service.
const OF_A_COMMAND: &str = "ORDER BY account_id LIMIT $3\"";

/// Whether a text has a `LIMIT` with a parameter.
fn has_parameter_as_limit(text: &str) -> bool {
    let text = text.replace(OF_A_COMMAND, "");
    text.contains("LIMIT $")
}

#[test]
fn the_limit_of_a_statement_is_a_number_that_the_planner_knows() {
    let found = service_sources(has_parameter_as_limit).unwrap();
    assert_eq!(found, CHOSEN_BY_THE_CALLER);
}
