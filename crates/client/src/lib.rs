//! Always-valid access tokens for services that call a provider's API.
//!
//! What a caller of refresh-svc's `TokenService` otherwise writes by hand. Make
//! one [`TokenClient`] per process and ask it for a token before every call to
//! the provider; it mostly answers from memory.
//!
//! ```no_run
//! use latchkey_client::{AuthorizeLayer, MutualTls, TokenClient, TokenError, TokenRequest};
//! use latchkey_domain::AccountId;
//!
//! # async fn example(account: AccountId) -> Result<(), Box<dyn std::error::Error>> {
//! let tls = MutualTls::from_files("ca.pem", "messaging.pem", "messaging.key")?;
//! let client = TokenClient::builder(tls)
//!     .address("https://refresh-svc-0.refresh-svc:50051")
//!     .address("https://refresh-svc-1.refresh-svc:50051")
//!     .server_name("refresh-svc")
//!     .build()?;
//!
//! // By hand:
//! let request = TokenRequest::new(account).scope("https://www.googleapis.com/auth/gmail.readonly");
//! match client.access_token(request).await {
//!     Ok(token) => println!("good until {}", token.expires_at()),
//!     Err(TokenError::SignInAgain { reason, .. }) => println!("ask the person: {reason}"),
//!     Err(TokenError::RetryLater { after, .. }) => println!("again in {after:?}"),
//!     Err(error) => return Err(error.into()),
//! }
//!
//! // Or around any tower service of `http::Request`s:
//! let layer: AuthorizeLayer<String> = AuthorizeLayer::new(client).token(account);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Memory first.** At most [`capacity`](TokenClientBuilder::capacity) tokens,
//!   wiped when they go. Copies that the transport makes while a token is on its
//!   way are not wiped: no client can.
//! - **One pending per account.** However many callers, one call to the service
//!   is under way for an account; a caller that leaves does not cancel it.
//! - **RefreshAhead of expiry.** A token in use is refreshed in the background within
//!   min(5 min, 20 % of its life), with jitter, before callers would have to wait.
//! - **Through an outage.** While the service is away, slow or misconfigured, a
//!   token that is still valid is handed out; only a minimum that the request
//!   names itself is kept to.
//! - **Patience by the rules.** `google.rpc.RetryInfo` is honoured, for all
//!   callers of the account at once, and within each caller's deadline; a wait
//!   that would not end in time is not begun.
//! - **Errors that say who must act**: the person, time, the operator, the
//!   caller's own code ([`TokenError`]).
//! - **A 401 costs one refresh.** [`TokenClient::replace_after_401`] names the
//!   refused version, so that many reports cause one refresh; a replacement
//!   that is refused as well is not replaced again for 30 s, so that an API
//!   which refuses everything does not become a storm on the provider.
//! - **Replicas.** Calls go round; one that cannot be reached is passed over at
//!   once. An older token from a replica that lags never replaces a newer one.
//! - **No secret prints**, and renewed certificate files are taken up without a
//!   restart.
//! - **Told at once.** Up to [`watches`](TokenClientBuilder::watches) accounts in
//!   use are watched (`WatchAccount`): one that was disconnected, or whose person
//!   must sign in again, is gone from memory within about a second, and new
//!   tokens arrive unasked. Where watch_handle is not allowed, or the stream is down,
//!   it takes five minutes
//!   ([`confirm_after`](TokenClientBuilder::confirm_after)), or no time where the
//!   caller hears `account.disconnected.v1` and calls [`TokenClient::forget`].

mod account;
mod builder;
mod cache;
mod client;
mod error;
mod fetch;
mod freshness;
mod layer;
mod needs;
mod reason;
mod replicas;
mod request;
mod status;
mod tls;
mod token;
mod watch;

pub use account::Account;
pub use builder::{BuildError, TokenClientBuilder};
pub use client::TokenClient;
pub use error::TokenError;
pub use layer::{Authorize, AuthorizeError, AuthorizeLayer};
pub use reason::Reason;
pub use request::TokenRequest;
pub use tls::MutualTls;
pub use token::Token;
