//! What this service writes and reads, by family of tables. SQL stands beside the
//! function that runs it.

pub mod audit;
pub mod grant;
pub mod identity;
pub mod issue;
pub mod janitor;
pub mod session;
pub mod used_flow;
pub mod workspace;
