//! The administrators' API of a workspace, and the verification of domains.

pub mod admin;
pub mod custom_domain;
pub mod domains;
pub mod invitations;
pub mod members;
pub mod verification_link;

pub use latchkey_workspaces::{domain_verification, removal};
