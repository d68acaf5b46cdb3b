//! Private PostgreSQL and RabbitMQ for development and tests: real servers of
//! the system's packages, as children of this process on free ports.
//!
//! Nothing outlives its owner: every child has its own process group and a
//! guard that ends the group when this process ends, however it ends. Data lies
//! in a [`RunDirectory`]; what a crashed run left is swept by the next one.

mod certificates;
mod child;
mod error;
mod packages;
mod port;
mod postgres;
mod proxy;
mod rabbitmq;
mod run_directory;

pub use certificates::{Certificates, KeyPairFiles};
pub use child::{Child, ChildSpec, OnCrash};
pub use error::ServerError;
pub use packages::{Package, ensure_installed};
pub use port::{free_port, port_or_free};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use run_directory::{RunDirectory, target_directory};

/// Tells a person what is going on, a line each.
pub type Progress = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// A [`Progress`] that says nothing.
pub fn silent() -> Progress {
    std::sync::Arc::new(|_| {})
}
