//! Authentication, authorization and audit of the gRPC services (R36).
//!
//! One policy file per service says which callers may call which methods for accounts
//! of which workspaces and providers. This crate reads the file, reloads it when it
//! changes ([`LivePolicy`]), authenticates callers by certificate or by service-account
//! token, checks each call ([`Authorizer`], [`Call`]) and records answers and refusals
//! ([`audit`]). refresh-svc and sync-svc differ only in their [`Contract`].

pub mod audit;
mod caller;
mod contract;
mod policy;
mod response_padding;

pub use caller::{Authorizer, Call, Caller, CallerSettings, CallersBy};
pub use contract::{Contract, Method};
pub use latchkey_service::grpc::{InvalidPattern, Pattern};
pub use policy::{AccessRequest, Choice, InvalidPolicy, LivePolicy, Policy, Rule, Scopes};
pub use response_padding::pad_response_time;
