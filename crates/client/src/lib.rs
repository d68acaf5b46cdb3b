//! Valid access tokens for services that call a provider's API: a client of
//! refresh-svc's `TokenService`.
//!
//! Create one [`TokenClient`] per process and request a token from it before every call
//! to the provider. It mostly answers from memory.
//!
//! ```no_run
//! use latchkey_client::{
//!     AccountId, AuthorizeLayer, MutualTls, TokenClient, TokenError, TokenRequest,
//! };
//!
//! # async fn example(account: AccountId) -> Result<(), Box<dyn std::error::Error>> {
//! let tls = MutualTls::from_files("ca.pem", "messaging.pem", "messaging.key")?;
//! let client = TokenClient::builder(tls)
//!     .address("https://refresh-svc-0.refresh-svc:50051")
//!     .address("https://refresh-svc-1.refresh-svc:50051")
//!     .server_name("refresh-svc")
//!     .build()?;
//!
//! // Directly:
//! let request = TokenRequest::new(account).scope("https://www.googleapis.com/auth/gmail.readonly");
//! match client.access_token(request).await {
//!     Ok(token) => println!("valid until {}", token.expires_at()),
//!     Err(TokenError::SignInAgain { reason, .. }) => println!("ask the person: {reason}"),
//!     Err(TokenError::RetryLater { after, .. }) => println!("retry in {after:?}"),
//!     Err(error) => return Err(error.into()),
//! }
//!
//! // Or as a layer around a tower service of `http::Request`s:
//! let layer: AuthorizeLayer<String> = AuthorizeLayer::new(client).token(account);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Properties
//!
//! - **Cache.** At most [`capacity`](TokenClientBuilder::capacity) tokens, wiped on
//!   removal. Copies that the transport makes while sending cannot be wiped.
//! - **Single flight.** At most one call to the service is running per account,
//!   regardless of the number of callers. A caller that leaves does not cancel it.
//! - **Refresh ahead of expiry.** A token in use is refreshed in the background within
//!   min(5 min, 20 % of its life), with jitter, before callers would have to wait.
//! - **Outages.** While the service is down, slow or misconfigured, a token that is
//!   still valid is returned. Only a minimum that the request states explicitly is
//!   enforced.
//! - **Back-off.** `google.rpc.RetryInfo` is honoured for all callers of the account and
//!   within each caller's deadline. A caller does not wait if the back-off ends after
//!   its deadline.
//! - **Errors that state who must act**: the person, nobody (retry later), the operator,
//!   or the calling code ([`TokenError`]).
//! - **One refresh per 401.** [`TokenClient::replace_after_401`] passes the refused
//!   version on, so that many reports cause one refresh. A replacement that is refused
//!   as well is not replaced again for 30 s, so that an API which refuses every token
//!   does not cause a storm of refreshes.
//! - **Replicas.** Calls are distributed over the replicas; one that cannot be reached
//!   is skipped at once. An older token from a replica never replaces a newer one.
//! - **Secrets.** No secret is printed. Renewed certificate files are loaded without a
//!   restart.
//! - **Watches.** Up to [`watches`](TokenClientBuilder::watches) accounts in use are
//!   watched (`WatchAccount`): an account that was disconnected, or whose person must
//!   sign in again, is removed from memory within about a second, and new tokens arrive
//!   by themselves. If watching is not allowed or the stream is interrupted, this takes
//!   five minutes ([`confirm_after`](TokenClientBuilder::confirm_after)). It takes no
//!   time if the caller receives `account.disconnected.v1` and calls
//!   [`TokenClient::forget`].

mod account;
mod builder;
mod cache;
mod client;
mod error;
mod fetch;
mod freshness;
mod inner;
mod layer;
mod reason;
mod replicas;
mod request;
mod settings;
mod status;
mod tls;
mod token;
mod watch;

pub use account::Account;
pub use builder::TokenClientBuilder;
pub use client::TokenClient;
pub use error::{BuildError, TokenError};
pub use latchkey_domain::{
    AccountId, Clock, Handle, ProviderName, ScopeSet, SystemClock, WorkspaceId,
};
pub use layer::{Authorize, AuthorizeError, AuthorizeLayer};
pub use reason::Reason;
pub use request::TokenRequest;
pub use tls::MutualTls;
pub use token::Token;
