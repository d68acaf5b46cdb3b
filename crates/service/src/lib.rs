//! The parts that every service shares: telemetry, health, background tasks, shut-down, database,
//! gRPC, and the code around `main`.

pub mod background;
pub mod build;
pub mod certificate;
pub mod database;
pub mod file_watch;
pub mod grpc;
pub mod health;
pub mod jitter;
pub mod metrics;
pub mod outgoing_proxy;
pub mod run;
pub mod shutdown;
pub mod telemetry;
pub mod trust;

pub use build::BuildInfo;
pub use run::StartError;
