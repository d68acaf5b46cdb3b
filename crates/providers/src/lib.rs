//! What Latchkey knows of identity providers, in one place: authorize
//! parameters, scopes, identity claims, refresh, revocation, error classes.
//!
//! auth-svc and refresh-svc both use it. [`Registry::from_environment`] reads
//! the definitions, a [`Provider`] speaks to one of them. What sets Google and
//! Microsoft apart stands in `google.rs` and `microsoft.rs`; any other OpenID
//! provider is a definition of `AUTH_OIDC_<NAME>_…` variables (R3).

mod built_in;
mod claims;
mod classify;
mod client_auth;
mod definition;
mod discovery;
mod document_cache;
mod email;
mod error;
mod failure;
mod fields;
mod google;
mod id_token;
mod jwks;
mod microsoft;
mod mismatch;
mod model;
mod oidc;
mod provider;
mod registry;
mod retry_after;
mod token_response;
mod transport;

pub use classify::verdict_table;
pub use error::{Delivery, IdTokenError, ProviderError, TokenError, WrongTenant};
pub use failure::FailureClass;
pub use latchkey_scopes::ScopeRules;
pub use mismatch::{Mismatch, for_log};
pub use model::{
    Access, AuthorizeRequest, EmailStatus, IdToken, ProviderAccess, ProviderKind, Purpose,
    Revocation, RevocationReach, Rotation, TokenResponse, Unverified, VerifiedIdentity,
};
pub use provider::Provider;
pub use registry::Registry;
pub use token_response::{MAX_TOKEN, TOKEN_TOO_LARGE};
pub use transport::REQUEST_DEADLINE;
