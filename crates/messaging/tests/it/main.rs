//! Relay and consumer against a real RabbitMQ and PostgreSQL.

mod consumer;
mod parked;
mod proxy;
mod relay;
mod support;
