//! The types of the domain: ids, provider names, scopes, secrets, time and back-off.
//!
//! Nothing here does I/O. A value that exists is valid: the constructors check it.

mod backoff;
mod clock;
mod domain_name;
mod id;
mod identity;
mod scope;
mod token;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use domain_name::{DomainName, InvalidDomain, domain_for_people};
pub use id::{
    AccountId, ChannelId, EventId, FlowId, InvalidId, JobId, SessionId, UserId, WorkspaceId,
};
pub use identity::{
    GrantBinding, Handle, InvalidIdentity, Issuer, ProviderName, ProviderSessionId, Subject,
};
pub use scope::{ScopeSet, is_identity_scope};
pub use token::{AccessToken, RefreshToken, SealedAccessToken, SealedRefreshToken};
