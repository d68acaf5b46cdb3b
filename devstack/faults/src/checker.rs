//! The independent checker: pure functions over the history, the rows of the database, the messages
//! of the shadow queue and the provider's own log.

mod accounts;
mod connections;
mod events;
mod expiry;
mod people;
mod planted;
mod tokens;
mod violation;

#[cfg(test)]
mod tests;

use crate::evidence::Evidence;
use people::People;
use violation::Violations;
pub use violation::{Kind, Violation};

/// Judges the evidence by every rule.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Violations::default();
    let people = People::of(evidence);
    accounts::check(evidence, &people, &mut violations);
    let unlucky = tokens::check_presented(evidence, &mut violations);
    connections::check(evidence, &people, &unlucky, &mut violations);
    events::check(evidence, &mut violations);
    planted::check(evidence, &mut violations);
    tokens::check(&people, &mut violations);
    expiry::check(evidence, &mut violations);
    if !evidence.unsettled.is_empty() {
        violations.add(Kind::NotSettled, &evidence.unsettled);
    }
    violations.0
}
