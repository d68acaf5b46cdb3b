//! Private PostgreSQL and RabbitMQ servers for development and tests. They come from the
//! system's packages and run as children of this process on free ports.
//!
//! No child outlives its owner: every child has its own process group and a guard, which ends
//! the group when this process ends in any way. Data is in a [`RunDirectory`]; the next run
//! removes what a crashed run left.

mod certificates;
mod child;
mod command;
mod error;
mod mounts;
mod packages;
mod port;
mod port_block;
mod port_mapper;
mod postgres;
mod prometheus;
mod proxy;
mod rabbitmq;
mod rabbitmq_cluster;
mod registry_packages;
mod run_directory;
mod statements;

use std::io::Write as _;

pub use certificates::{Certificates, KeyPairFiles, new_authority};
pub use child::{Child, ChildSpec, OnCrash};
pub use error::ServerError;
pub use packages::{Package, clock_library, ensure_installed};
pub use port::{free_port, port_or_free};
pub use postgres::{Postgres, Volume};
pub use prometheus::Prometheus;
pub use proxy::{Direction, Disturbance, Proxy, Verdict, Watch, WatchedConnection};
pub use rabbitmq::RabbitMq;
pub use rabbitmq_cluster::RabbitMqCluster;
pub use registry_packages::{install_go, install_npm, install_python, python_program};
pub use run_directory::{RunDirectory, target_directory};
pub use statements::{Conversation, ExecutedStatement, Parameter, Statement, StatementReader};

/// Prints one line about what is being done, for a person.
pub type Progress = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// Writes a line to standard error, if it is still open.
pub fn print_message(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Begins a line about a test that did not run, which `cargo dev test` prints.
pub const LEFT_OUT: &str = "left out: ";

/// Writes such a line directly to standard error, because the output of a test that passes is hidden.
pub fn print_left_out(test: &str, reason: &str) {
    print_message(&format!("{LEFT_OUT}{test}: {reason}"));
}

/// Returns a [`Progress`] that prints nothing.
pub fn silent() -> Progress {
    std::sync::Arc::new(|_| {})
}
