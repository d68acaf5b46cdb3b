//! Identity providers: everything that Latchkey knows about them.
//!
//! auth-svc and refresh-svc use this crate. [`Registry::from_environment`] reads the
//! definitions, and a [`Provider`] makes the requests to one provider.
//!
//! A built-in provider is one file and one line. The file (`google.rs`, `microsoft.rs`)
//! has the facts and the quirks of the provider, and the line is in `catalogue.rs`. Any
//! other OpenID provider is a definition of `AUTH_OIDC_<NAME>_…` variables (R3).

mod addresses;
mod authentication;
mod built_in;
mod catalogue;
mod claims;
mod classify;
mod client_auth;
mod consumer_domains;
mod definition;
mod discovery;
mod document_cache;
mod email;
mod error;
mod failure;
mod fields;
mod google;
mod id_token;
mod issuer;
mod logout_token;
mod microsoft;
mod mismatch;
mod model;
mod offline_scope;
mod oidc;
mod provider;
mod pushed_authorization;
mod quirks;
mod reader;
mod registry;
mod request_span;
mod retry_after;
mod sign_out;
mod token_response;
mod transport;

pub use authentication::AuthenticationContext;
pub use catalogue::{built_in_names, is_built_in, logo, needs_hosted_domain};
pub use classify::verdict_table;
pub use client_auth::PublicClientKey;
pub use consumer_domains::is_consumer_domain;
pub use error::{
    AuthorizationError, Delivery, IdTokenError, MAX_TOKEN, ProviderError, TOKEN_TOO_LARGE,
    TokenError, WrongTenant,
};
pub use failure::FailureClass;
pub use latchkey_scopes::{ScopeRules, WriteAccess};
pub use logout_token::{LoggedOut, LogoutToken, LogoutTokenError};
pub use mismatch::{Mismatch, for_log};
pub use model::{
    Access, AuthorizeRequest, EmailStatus, IdToken, ProviderAccess, Purpose, Revocation,
    RevocationReach, Rotation, TokenResponse, Unverified, VerifiedIdentity,
};
/// What [`Provider::exchange_code`] sends; neither prints its content.
pub use oauth2::{AuthorizationCode, PkceCodeVerifier};
pub use provider::{
    BACKCHANNEL_LOGOUT, EndSessionRequest, MAX_ID_TOKEN_HINT, Provider, SIGNED_OUT,
};
pub use quirks::Registration;
pub use registry::Registry;
pub use transport::REQUEST_DEADLINE;
