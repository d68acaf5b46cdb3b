//! Attacks on a sign-in, each presented to the running service with a provider
//! that misbehaves on demand, each refused with nothing written. The table in
//! `docs/security.md` says which section of which specification each is from.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unused_imports,
    reason = "helpers are shared with the tests beside, and what fails in one fails its test"
)]

#[path = "../api"]
mod api {
    pub mod support;
}

mod authorization_codes;
mod clock_skew;
mod cross_site;
mod cross_site_links;
mod documentation;
mod id_token;
mod identity;
mod key_sets;
mod mix_up;
mod open_redirects;
mod parameters;
mod sessions;
mod state;
mod support;
mod third_party_login;
mod workspace_isolation;
