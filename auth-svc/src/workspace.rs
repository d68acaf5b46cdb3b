//! The administrators' API of a workspace, and the verification of domains.

pub mod admin;
pub mod custom_domain;
pub mod domain_verification;
pub mod domains;
pub mod invitations;
pub mod members;
pub mod removal;
pub mod verification_link;
