//! Database access, one module for each family of tables. The SQL stands in the function
//! that runs it.

pub mod audit;
pub mod cleanup;
pub mod grant;
pub mod identity;
pub mod issue;
pub mod session;
pub mod used_flow;
pub mod workspace;
