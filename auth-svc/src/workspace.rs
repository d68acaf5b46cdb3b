//! What the administrators of a workspace do over HTTP, and the verification of
//! domains.

pub mod admin;
pub mod custom_domain;
pub mod domain_verification;
pub mod domains;
pub mod invitations;
pub mod members;
pub mod removal;
pub mod verification_link;
