//! Workspaces: who may join them, their members, domains and invitations, and the audit of changes.
//! auth-svc and the commands for operators share the rules and the SQL.

pub mod domain_list;
pub mod domain_policy;
pub mod domain_verification;
pub mod random;
pub mod removal;
pub mod store;
