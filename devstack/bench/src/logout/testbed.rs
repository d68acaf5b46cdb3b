//! The whole product with a second replica of auth-svc.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use devstack::build::binary;
use devstack::message_recorder::MessageRecorder;
use devstack::{Options, ServiceId, Stack};
use latchkey_servers::{Child, ChildSpec, Progress, free_port};

use super::replicas::Replicas;

/// Everything that runs during the benchmark. Fields are dropped in this order.
pub struct LogoutTestbed {
    // Stopped when this value is dropped.
    _replica: Child,
    /// Records every event.
    pub recorder: MessageRecorder,
    /// The two replicas.
    pub replicas: Replicas,
    /// The stack.
    pub stack: Stack,
}

impl LogoutTestbed {
    /// Starts everything and waits until it is ready.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        let mut options = Options::test()
            // One machine has the addresses of all people.
            .with("RATE_LIMIT_PER_ADDRESS", "0")
            .with("RUST_LOG", "warn");
        options.group = "bench-logout";
        options.durable = true;
        options.progress = Arc::clone(progress);
        let stack = Stack::start(options).await?;
        let recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        progress("starting a second replica of auth-svc");
        let address = format!("127.0.0.1:{}", free_port()?);
        let other = format!("http://{address}");
        let replicas = Replicas::new(stack.public_url(), &other)?;
        let mut replica = Child::start(second_replica(&stack, &address)?)?;
        replica
            .wait_until(Duration::from_mins(1), || async {
                replicas.other_answers().await
            })
            .await?;
        Ok(Self {
            _replica: replica,
            recorder,
            replicas,
            stack,
        })
    }
}

/// The second replica has the variables of the first one.
fn second_replica(stack: &Stack, address: &str) -> anyhow::Result<ChildSpec> {
    let (_, first) = stack
        .services()
        .find(|(id, _)| **id == ServiceId::Auth)
        .context("the stack has no auth-svc")?;
    let log = stack.directory().join("auth-svc-1.log");
    let mut spec = ChildSpec::new("auth-svc-1", binary("auth-svc")?, Path::new("/"), &log);
    spec.clear_environment = true;
    for (name, value) in first.environment() {
        spec = spec.env(name, value);
    }
    Ok(spec
        .env("HTTP_LISTEN", address)
        .env("HEALTH_LISTEN", "127.0.0.1:0"))
}
