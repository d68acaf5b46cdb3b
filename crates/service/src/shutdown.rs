//! Orderly end: one token that every task watches.

use tokio_util::sync::CancellationToken;

use crate::StartError;

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
