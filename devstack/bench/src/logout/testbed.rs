//! The whole product with a second replica of auth-svc.

use std::sync::Arc;

use anyhow::Context as _;
use devstack::message_recorder::MessageRecorder;
use devstack::{Options, Stack};
use latchkey_servers::Progress;

use super::replicas::Replicas;

/// Everything that runs during the benchmark. Fields are dropped in this order.
pub struct LogoutTestbed {
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
        options.auth_replicas = 2;
        options.progress = Arc::clone(progress);
        let stack = Stack::start(options).await?;
        let recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        let other = stack.auth_urls().get(1);
        let other = other.context("the stack has no second replica")?;
        let replicas = Replicas::new(stack.public_url(), other)?;
        Ok(Self {
            recorder,
            replicas,
            stack,
        })
    }
}
