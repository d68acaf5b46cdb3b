//! Who may call the services over gRPC, and what (R36).
//!
//! One policy file per service says which callers may call which methods for
//! accounts of which workspaces and providers. This crate reads it, follows it
//! while it changes ([`LivePolicy`]), finds out who calls (by certificate or by
//! service-account token), judges each call ([`Authorizer`], [`Call`]) and writes down
//! what was answered and refused ([`audit`]). refresh-svc and sync-svc differ in
//! their [`Contract`] alone.

pub mod audit;
mod caller;
pub mod command;
mod contract;
mod policy;
mod response_padding;

pub use caller::{Authorizer, Call, Caller, CallerSettings, CallersBy};
pub use contract::{Contract, Method};
pub use latchkey_service::grpc::{InvalidPattern, Pattern};
pub use policy::{AccessRequest, Choice, InvalidPolicy, LivePolicy, Policy, Rule, Scopes};
pub use response_padding::pad_response_time;
