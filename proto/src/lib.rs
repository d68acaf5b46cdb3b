//! The published contract: events over RabbitMQ, tokens and accounts over gRPC.
//!
//! `src/generated` is generated from the `.proto` files, which contain the documentation: after
//! a change of those, `cargo dev proto` writes it again. `proto/check` lints them.

#![expect(
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated code; the .proto files are documented"
)]

use prost::Message as _;

/// Events and jobs (`latchkey.events.v1`).
pub mod events {
    include!("generated/latchkey.events.v1.rs");
}

/// Tokens (`latchkey.token.v1`), served by refresh-svc.
pub mod token {
    include!("generated/latchkey.token.v1.rs");

    impl std::fmt::Debug for AccessToken {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("AccessToken")
                .field("access_token", &"[redacted]")
                .field("token_type", &self.token_type)
                .field("expires_at", &self.expires_at)
                .field("granted_scopes", &self.granted_scopes)
                .field("account_id", &self.account_id)
                .field("version", &self.version)
                .finish()
        }
    }
}

/// Accounts and channels (`latchkey.account.v1`), served by sync-svc.
pub mod account {
    include!("generated/latchkey.account.v1.rs");
}

/// Reasons for failed calls (`latchkey.reason.v1`), in every service.
pub mod reason;

mod connection_ended;
mod descriptors;
mod duration;
mod timestamp;

pub use connection_ended::connection_ended;
pub use descriptors::descriptors_of;
pub use duration::duration_of;
pub use timestamp::{time_of, time_to_microsecond, timestamp};

/// The encoded file descriptor set of the contract.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

/// The names of the methods of a service.
pub fn methods_of(package: &str, service: &str) -> Vec<String> {
    let contract = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    contract
        .file
        .iter()
        .filter(|file| file.package() == package)
        .flat_map(|file| &file.service)
        .filter(|found| found.name() == service)
        .flat_map(|found| &found.method)
        .map(|method| method.name().to_owned())
        .collect()
}
