//! The policy: which callers may call which methods, for which providers and workspaces,
//! and for tokens with which scopes (R36).
//!
//! Everything that no rule allows is forbidden, and no rule forbids. One rule must allow
//! the whole request: two rules that allow one half each do not allow it together.

mod call_rules;
mod compiled;
mod file;
mod live;
mod rule;
#[cfg(test)]
mod tests;

pub use call_rules::CallRules;
pub use compiled::Policy;
pub use file::InvalidPolicy;
pub use live::LivePolicy;
pub use rule::{AccessRequest, Choice, Rule, Scopes};
