//! Database access, one module for each family of tables. The SQL stands in the function
//! that runs it. Workspaces and the audit have a crate of their own, which the commands for
//! operators use too.

pub mod cleanup;
pub mod grant;
pub mod identity;
pub mod session;
pub mod used_flow;

pub use latchkey_workspaces::store::{IssueError, audit, clock, workspace};
