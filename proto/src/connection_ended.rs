//! Tells what the transport reports from what a service answered.

use std::error::Error;

use tonic::{Code, Status, TimeoutExpired};

/// Returns `true` if the connection ended before the service answered, as it does when a replica is
/// replaced. Every call of the contract may be repeated.
///
/// tonic reports UNKNOWN or INTERNAL, or CANCELLED if the call was not sent yet; UNAVAILABLE, which it
/// reports if it cannot connect, is not meant here. Only a status that was made here has a source; a
/// received one has none.
pub fn connection_ended(status: &Status) -> bool {
    let mut causes = std::iter::successors(status.source(), |&cause| cause.source());
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => false,
        // tonic's own deadline is CANCELLED too.
        Code::Cancelled => {
            status.source().is_some() && !causes.any(<dyn Error>::is::<TimeoutExpired>)
        }
        _ => status.source().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct NotSent(Status);

    impl std::fmt::Display for NotSent {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the connection ended")
        }
    }

    impl Error for NotSent {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    // R32: tonic reports both as CANCELLED.
    #[test]
    fn a_call_that_was_not_sent_is_told_from_an_expired_one() {
        let cause = NotSent(Status::cancelled("operation was canceled"));
        let not_sent = Status::from_error(Box::new(cause));
        assert_eq!(not_sent.code(), Code::Cancelled);
        assert!(connection_ended(&not_sent));

        let expired = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(expired.code(), Code::Cancelled);
        assert!(!connection_ended(&expired));
        assert!(!connection_ended(&Status::cancelled("by the service")));
    }
}
