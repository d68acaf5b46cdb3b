//! Numbers of a process at `/metrics` (Prometheus text). A service counts with
//! the `metrics` crate, beside the code that is counted; where nothing is
//! installed, counting does nothing.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of every histogram whose name ends in `_seconds`: from a cached answer
/// to a provider that takes half a minute.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    30.0, 60.0,
];

/// Samples of histograms are put away at least this often, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALL: Mutex<()> = Mutex::new(());

/// Begins to count, once per process; must be called within the runtime that
/// stays. Metrics are no reason not to start: where they cannot be had, that is
/// logged.
pub fn install() {
    let _one_at_a_time = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if RECORDER.get().is_some() {
        return;
    }
    let installed = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder);
    match installed {
        Ok(handle) => {
            let upkeep = handle.clone();
            if RECORDER.set(handle).is_ok() {
                tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(UPKEEP).await;
                        upkeep.run_upkeep();
                    }
                });
            }
        }
        Err(error) => tracing::warn!(%error, "no metrics"),
    }
}

/// The numbers as Prometheus reads them; empty before [`install`].
pub fn render() -> String {
    RECORDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}
