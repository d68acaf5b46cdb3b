//! Errors of the broker, and the deadline of its replies.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// The broker has this long for each reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an operation on the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker refused, or the connection failed.
    ///
    /// Not a source of the error: its text is in this one's already.
    #[error("broker: {0}")]
    Amqp(lapin::Error),
    /// The broker did not reply in time.
    #[error("broker did not answer in time: {0}")]
    Timeout(&'static str),
    /// The broker did not accept a message.
    #[error("broker refused the message: {0}")]
    Refused(String),
    /// The deliveries ended: the queue was deleted or the connection was lost.
    #[error("broker ended the subscription")]
    Cancelled,
}

impl BrokerError {
    /// The kind of the error, for traces.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Amqp(_) => "amqp",
            Self::Timeout(_) => "timeout",
            Self::Refused(_) => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::Amqp(error)
    }
}

impl BrokerError {
    /// Returns `true` if the broker refuses the user name or the password.
    pub fn refuses_login(&self) -> bool {
        self.protocol_error() == Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED))
    }

    /// Returns `true` if the virtual host does not exist, or the user may not enter it.
    pub fn refuses_virtual_host(&self) -> bool {
        self.protocol_error() == Some(AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED))
    }

    fn protocol_error(&self) -> Option<AMQPErrorKind> {
        match self {
            Self::Amqp(error) => match error.kind() {
                ErrorKind::ProtocolError(reply) => Some(reply.kind().clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Waits for a reply of the broker, with a deadline: the loss of a peer is noticed late, and
/// until then no reply comes. `what` is in the error.
///
/// # Errors
/// Those of `request`, or [`BrokerError::Timeout`].
pub(crate) async fn reply<T, E: Into<BrokerError>>(
    what: &'static str,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(REPLY_TIMEOUT, request)
        .await
        .map_err(|_| BrokerError::Timeout(what))?
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_does_not_come_is_an_error() {
        let never = std::future::pending::<Result<(), BrokerError>>();
        let error = reply("declare", never).await.unwrap_err();
        assert_eq!(error.to_string(), "broker did not answer in time: declare");
    }
}
