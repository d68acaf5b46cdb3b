//! Events and jobs over RabbitMQ: topology, transactional outbox with its relay, consumers with
//! retries and parking.
//!
//! A message is published only after the commit of its change, and acknowledged only after the
//! commit of its handler. Every message may arrive more than once.

pub mod broker;
pub mod consumer;
mod envelope;
mod event;
mod message_span;
pub mod outbox;
pub mod parked;
pub mod topology;
mod topology_maintenance;

pub use broker::{BrokerConfig, BrokerError};
pub use topology_maintenance::TopologyMaintenance;
