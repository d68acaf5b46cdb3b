//! Attacks on a sign-in. Each runs against the service with a provider that misbehaves on
//! demand, and each is refused with nothing written. The table in `docs/security.md` names
//! the section of the specification for each attack.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unused_imports,
    reason = "helpers are shared with other test binaries, and a failure in one fails its test"
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
