//! What tests need: a database and a virtual host of their own, on the servers
//! that `cargo dev test` or `cargo dev servers` runs.

mod broker;
mod certificates;
mod database;
mod publish;
mod way;

use std::sync::mpsc;

pub use broker::{QueueState, TestBroker};
pub use certificates::TestCertificates;
pub use database::{Role, TestDatabase};
pub use latchkey_servers::KeyPairFiles;
pub use publish::publish_confirmed;
pub use way::Way;

/// Superuser URL of the tests' PostgreSQL.
pub const POSTGRES_URL: &str = "LATCHKEY_TEST_POSTGRES_URL";
/// AMQP URL of the tests' RabbitMQ.
pub const AMQP_URL: &str = "LATCHKEY_TEST_AMQP_URL";
/// URL of that RabbitMQ's management API, credentials in it.
pub const RABBITMQ_API_URL: &str = "LATCHKEY_TEST_RABBITMQ_API_URL";

#[expect(
    clippy::panic,
    reason = "a test without its servers cannot go on, and must say why"
)]
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run `cargo dev test`, or export what `cargo dev servers` prints"
        )
    })
}

/// Runs something async from a `Drop`, whatever runtime is around. Who receives learns
/// its end.
fn run_elsewhere<F>(work: F) -> mpsc::Receiver<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ends, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ends = ends;
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            runtime.block_on(work);
        }
    });
    end
}
