//! The published contract: events over RabbitMQ, tokens and accounts over gRPC.
//!
//! `src/generated` comes from the `.proto` files, which carry the documentation: after a
//! change of those, `cargo dev proto` writes it anew. `proto/check` lints them.

#![expect(
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated code; the .proto files are documented"
)]

use prost::Message as _;
use prost_types::Timestamp;
use time::OffsetDateTime;

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

/// Why calls fail (`latchkey.reason.v1`), in every service.
pub mod reason;

/// Every service's descriptors, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

/// Names of the methods of a service, as the contract has them.
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

/// A point in time as the contract has it.
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: at.unix_timestamp(),
        // A nanosecond of a second is below 2^31.
        nanos: i32::try_from(at.nanosecond()).unwrap_or_default(),
    }
}

/// The point in time that a timestamp tells; nothing where it tells none.
pub fn time_of(told: &Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(told.seconds).ok()?;
    second.checked_add(time::Duration::nanoseconds(told.nanos.into()))
}

/// The point in time of a timestamp, cut to the microsecond, which is what the
/// database keeps: a time that was stored compares equal to itself when the event
/// is delivered again. `None` if the timestamp is out of range.
pub fn time_to_microsecond(timestamp: Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    let micros = nanos.div_euclid(1_000);
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).ok()
}
