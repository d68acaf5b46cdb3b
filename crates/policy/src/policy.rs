//! Which callers may call which methods, for which providers and workspaces, and
//! for tokens of which scopes (R36).
//!
//! Nobody may anything that no rule allows, there are no rules that forbid, and
//! one rule must allow a request as a whole: two rules that allow half of it
//! each do not add up.

mod compiled;
mod file;
mod live;
mod rule;
#[cfg(test)]
mod tests;

pub use compiled::Policy;
pub use file::InvalidPolicy;
pub use live::LivePolicy;
pub use rule::{AccessRequest, Choice, Rule, Scopes};
