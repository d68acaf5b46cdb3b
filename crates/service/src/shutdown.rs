//! Graceful shut-down: the service becomes not ready, accepts no new work after `SHUTDOWN_DELAY`,
//! and finishes running work.

use std::ops::RangeInclusive;
use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use tokio_util::sync::CancellationToken;

use crate::StartError;

/// Enough for load balancers and callers that watch readiness to use another replica.
const USUAL_DELAY: Duration = Duration::from_secs(5);

/// No orchestrator waits longer.
const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

/// `SHUTDOWN_DELAY`: how long the service still accepts work after it was asked to stop.
///
/// # Errors
/// The value is not a duration of at most one hour.
pub fn delay(environment: &Environment) -> Result<Duration, ConfigError> {
    environment.duration("SHUTDOWN_DELAY", USUAL_DELAY, DELAYS)
}

/// A token that is cancelled `delay` after `asked`: the service then accepts no new work. Until then
/// it serves callers that have not noticed yet that it is not ready.
pub fn delayed(asked: &CancellationToken, delay: Duration) -> CancellationToken {
    let (asked, later) = (asked.clone(), CancellationToken::new());
    let stop = later.clone();
    tokio::spawn(async move {
        asked.cancelled().await;
        tokio::time::sleep(delay).await;
        later.cancel();
    });
    stop
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
///
/// # Errors
/// The operating system refuses the signal handler.
pub fn on_signal() -> Result<CancellationToken, StartError> {
    use tokio::signal::unix::{SignalKind, signal};

    let on = |kind| signal(kind).map_err(|error| StartError::io("cannot handle signals", error));
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        cancelled.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_new_work_is_taken_only_after_the_delay() {
        let asked = CancellationToken::new();
        let stop = delayed(&asked, Duration::from_secs(5));
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert!(!stop.is_cancelled());
        asked.cancel();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!stop.is_cancelled());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(stop.is_cancelled());
    }
}
