//! A small identity provider that behaves like Google, like Microsoft and like a strict OpenID
//! provider, for tests and for `cargo dev up`. It must not be reachable by others, because it
//! signs anybody in.
//!
//! # In a test
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use latchkey_demo_provider::{Config, Decision, DemoProvider, Endpoint, Fault, Flavour};
//!
//! let demo = DemoProvider::start(Config::default()).await?;
//! // AUTH_GOOGLE_…, AUTH_MICROSOFT_… and AUTH_OIDC_DEMO_… for the services:
//! let environment = demo.environment();
//! // Does what a browser does with the `Location` of `GET /auth/google`, and returns
//! // the callback's URL with `code` and `state`:
//! # let location = "";
//! let callback = demo.decide(location, &Decision::allow("ada")).await?;
//! // Consent without calendar, or no consent:
//! let partial = Decision::allow("ada")
//!     .without("https://www.googleapis.com/auth/calendar.events");
//! let denied = Decision::deny();
//! // Faults are applied in order; refreshes are counted:
//! demo.inject(Fault::on(Endpoint::Token).of_grant("refresh_token").answering(503, ""));
//! demo.inject(Fault::on(Endpoint::Token).after_work().reset());
//! assert_eq!(demo.refreshes(Flavour::Google), 0);
//! # Ok(()) }
//! ```
//! It stops when it is dropped.
//!
//! # Addresses
//! | | issuer | authorize page |
//! | --- | --- | --- |
//! | Google | `/google` | `/google/authorize` |
//! | Microsoft | `/microsoft/<tid>/v2.0` (`AUTH_MICROSOFT_AUTHORITY` is `/microsoft`) | `/microsoft/<tenant>/oauth2/v2.0/authorize` |
//! | strict OpenID | `/oidc` | `/oidc/authorize` |
//!
//! Without a browser, the decision is sent as a form `POST` to the URL of the page:
//! `person=ada`, `decision=allow|deny`, `untick=<scope>` (repeatable), `error=<code>`. The
//! response is a redirect (303) to the callback.
//!
//! Microsoft and the strict provider end sessions (RP-Initiated Logout 1.0) at
//! `/microsoft/<tenant>/oauth2/v2.0/logout` and `/oidc/end-session`.
//!
//! The people: `ada`, `grace` (acme.example), `noor` (berlin.acme.example, same
//! tenant), `linus` (globex.example), `eve` (mail.example, a private account),
//! `mallory` (mallory@acme.example, not verified).
//!
//! # Control over HTTP
//! | | |
//! | --- | --- |
//! | `GET /control/environment` | variables for the services |
//! | `GET`, `DELETE /control/counters` | `{"google.token": 2, "google.token.refresh_token": 1, …}` |
//! | `GET /control/issued` | every code and token that was issued, in clear |
//! | `GET /control/presented` | every refresh token that a client presented, in clear, and when |
//! | `GET /control/people`, `PUT /control/people/ada/claims` | `{"email_verified": false, "hd": null}` |
//! | `GET`, `PATCH /control/settings` | [`Settings`]: `{"access_token_lifetime_s": 5}` |
//! | `GET`, `POST`, `DELETE /control/faults` | [`Fault`]: `{"endpoint": "token", "flavour": "google", "status": 503}` |
//! | `PUT /control/misbehaviour` | `{"flavour": "google", "misbehaviour": "wrong_audience"}`, `null` ends it |
//! | `PATCH /control/settings` with `{"dead_grant": "dex_claimed"}` | the name of the [`SampleResponse`] for dead grants |
//! | `PATCH /control/settings` with `{"require_pushed_authorization": true}` | authorization requests must be pushed to `/oidc/par` (RFC 9126) |
//! | `POST /control/rotate-keys` | `{"flavour": "google", "keep_old": false}` |
//! | `POST /control/revoke` | `{"person": "ada", "flavour": "google"}`: revokes tokens and consent |

mod app;
mod authorize;
mod control;
mod demo_provider;
mod discovery;
mod end_session;
mod fault;
mod flavour;
mod held_answer;
mod http_server;
mod id_token;
mod keys;
mod misbehaviour;
mod people;
mod random_token;
mod sample_response;
mod settings;
mod state;
mod tls;
mod token;
mod tokens;

pub use demo_provider::{Decision, DemoError, DemoProvider, PeopleAdder};

pub use fault::Fault;
pub use flavour::{Endpoint, Flavour};
pub use keys::SigningKey;
pub use misbehaviour::Misbehaviour;
pub use people::{ACME_TENANT, GLOBEX_TENANT, PERSONAL_TENANT, Person, STRANGER_TENANT};
pub use sample_response::SampleResponse;
pub use settings::{Config, ExpiresIn, Settings, TlsFiles};
pub use state::{EndedSession, Issued, PresentedRefreshToken};
