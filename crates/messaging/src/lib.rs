//! Events and jobs over RabbitMQ: topology, transactional outbox with its
//! relay, consumers with retries and parking.
//!
//! Nothing is published that was not committed, nothing is acknowledged that
//! was not committed, and everything may arrive twice.

pub mod broker;
pub mod consumer;
mod envelope;
mod event;
pub mod outbox;
pub mod parked;
pub mod topology;
mod topology_maintenance;

pub use broker::{BrokerConfig, BrokerError};
pub use topology_maintenance::TopologyMaintenance;
