//! Authentication and authorization of callers (R36).

mod authorizer;
mod call;
mod identity;
mod service_account;
mod settings;
mod verification_keys;

pub use authorizer::Authorizer;
pub use call::Call;
pub use identity::Caller;
pub use settings::{CallerSettings, CallersBy};
