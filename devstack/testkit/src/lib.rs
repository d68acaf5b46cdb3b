//! A database, a virtual host and certificates for one test, on the servers that `cargo dev
//! test` or `cargo dev servers` runs, and receivers of traces and metrics.

mod broker;
mod certificates;
mod database;
mod eventually;
mod metric_receiver;
mod otlp_server;
mod publish;
mod statement_recorder;
mod trace_receiver;

use std::sync::mpsc;

pub use broker::{QueueState, TestBroker};
pub use certificates::TestCertificates;
pub use database::{Role, TestDatabase};
pub use eventually::{PATIENCE, eventually};
pub use latchkey_servers::{
    Direction, KeyPairFiles, Parameter, Proxy, Statement, Verdict, Watch, WatchedConnection,
};
pub use metric_receiver::{MetricReceiver, ReceivedFamily};
pub use publish::publish_confirmed;
pub use statement_recorder::StatementRecorder;
pub use trace_receiver::{ReceivedSpan, TraceReceiver};

/// Variable with the superuser's URL of the tests' PostgreSQL.
pub const POSTGRES_URL: &str = "LATCHKEY_TEST_POSTGRES_URL";
/// Variable with the AMQP URL of the tests' RabbitMQ.
pub const AMQP_URL: &str = "LATCHKEY_TEST_AMQP_URL";
/// Variable with the URL of RabbitMQ's management API, including credentials.
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

/// Runs a future in a new thread, so that a `Drop` can use it inside and outside a runtime. The
/// receiver is disconnected when the future has ended.
fn run_in_thread<F>(work: F) -> mpsc::Receiver<()>
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
