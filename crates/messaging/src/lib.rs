//! Events and jobs over RabbitMQ: topology, transactional outbox with its
//! relay, consumers with retries and parking.
//!
//! Nothing is published that was not committed, nothing is acknowledged that
//! was not committed, and everything may arrive twice.

pub mod outbox;
pub mod topology;
