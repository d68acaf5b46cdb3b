//! Files that are replaced while the service runs.

use std::time::Duration;

use latchkey_config::ConfigError;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at. Looking beats being told: it works on
/// every file system, and over the links that Kubernetes swaps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks again and again until `stop`, and hands over what is new. Files that do
/// not go together, such as a certificate whose key is still to come, change
/// nothing and are told once.
pub(super) async fn follow<P: PartialEq>(
    stop: CancellationToken,
    read: impl Fn() -> Result<P, ConfigError>,
    take: impl Fn(&P) -> Result<(), ConfigError>,
) {
    let mut seen = read().ok();
    let mut told = String::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let changed = read().and_then(|now| {
            if seen.as_ref() == Some(&now) {
                return Ok(None);
            }
            take(&now).map(|()| Some(now))
        });
        match changed {
            Ok(None) => told.clear(),
            Ok(now) => {
                seen = now;
                told.clear();
                tracing::info!("certificates were read again: new connections use them");
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != told {
                    tracing::error!(%error, "new certificates cannot be used: the old ones stay");
                    told = problem;
                }
            }
        }
    }
}
