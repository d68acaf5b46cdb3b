//! The requests per second to one provider.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore};

/// A limit of requests per second. Whoever takes a request and does not send it gives it back:
/// when many tokens expire at once, every replica wants to refresh every grant, and only the one
/// that gets the lease sends a request.
#[derive(Debug)]
pub(super) struct Rate {
    limiter: DefaultDirectRateLimiter,
    /// Held by the first of those who wait. If all waited for the limiter, each of them would look
    /// again whenever it allows one request.
    turn: Mutex<()>,
    /// Requests that were given back while others waited. They are for these others.
    given_back: Semaphore,
}

impl Rate {
    /// Allows `rate` requests per second, and as many at once.
    pub(super) fn per_second(rate: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct(Quota::per_second(rate)),
            turn: Mutex::default(),
            given_back: Semaphore::new(0),
        }
    }

    /// Waits for a request, in the order of the calls. A future that is dropped before it is ready
    /// takes none.
    pub(super) async fn take(&self) {
        let _turn = if let Ok(turn) = self.turn.try_lock() {
            // Nobody waits, so requests that were given back to others before are not needed any more.
            self.given_back.forget_permits(usize::MAX);
            turn
        } else {
            self.turn.lock().await
        };
        tokio::select! {
            biased;
            Ok(request) = self.given_back.acquire() => request.forget(),
            () = self.limiter.until_ready() => {}
        }
    }

    /// Gives back a request that was taken and not sent. It is lost if nobody waits; the limiter
    /// soon allows another.
    pub(super) fn give_back(&self) {
        if self.turn.try_lock().is_err() {
            self.given_back.add_permits(1);
        }
    }
}
