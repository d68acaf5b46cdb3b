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
    pub mod helpers;
    pub mod neighbours {
        pub mod stand_in;
    }
}

mod clocks;
mod codes;
mod cross_site;
mod doors;
mod id_token;
mod identity;
mod initiated;
mod keys;
mod mix_up;
mod parameters;
mod redirects;
mod sessions;
mod state;
mod table;
mod unharmed;
mod workspaces;

use api::helpers;
