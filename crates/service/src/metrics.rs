//! The metrics of a process at `/metrics`, in the text format of Prometheus. A service counts with
//! the crate `metrics`, which does nothing unless a recorder is installed.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets of every histogram whose name ends in `_seconds`: from a cached token to a provider that
/// takes half a minute.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    30.0, 60.0,
];

/// Samples of histograms are aggregated at least this often, so that memory stays bounded without
/// scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALL: Mutex<()> = Mutex::new(());

/// Installs the recorder, once per process; must be called within the runtime of the service. A
/// failure is logged and does not stop the start.
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

/// The metrics in the text format of Prometheus; empty before [`install`].
pub fn render() -> String {
    RECORDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}
