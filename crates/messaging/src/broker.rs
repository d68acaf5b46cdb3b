//! Connections to RabbitMQ. A lost connection is replaced and never repaired: its user opens
//! a new one and declares again what it needs.

mod check;
mod config;
mod connect;
mod error;
mod look;
mod publish;
mod retry_delay;

pub use check::BrokerCheck;
pub use config::{BrokerConfig, InvalidBrokerUrl};
pub use error::BrokerError;
pub(crate) use error::reply;
pub(crate) use look::look_at_queue;
pub(crate) use publish::{
    confirmed, open_confirm_channel, outcome, publish, refusal, send, set_confirm_mode,
};
pub(crate) use retry_delay::RetryDelay;
