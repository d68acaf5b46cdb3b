//! Relay and consumer against a real RabbitMQ and PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails in a helper fails its test"
)]

mod backlog;
mod consumer;
mod lost_answer;
mod parked;
mod proxy;
mod relay;
mod restart;
mod retired_queues;
mod support;
mod wake;
