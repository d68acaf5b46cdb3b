//! The metrics of a process at `/metrics`, in the text format of Prometheus. A service counts with
//! the crate `metrics`, which does nothing unless a recorder is installed.
//!
//! Each family is described where it is counted, and its series are created at the start:
//! Prometheus sees no increase in a counter that begins with 1.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio_util::sync::CancellationToken;

use crate::BuildInfo;

/// Buckets of every histogram whose name ends in `_seconds`: from a cached token to a provider that
/// takes half a minute.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    30.0, 60.0,
];

/// Buckets of what may wait for the end of an outage: from 5 milliseconds to a day.
const OUTAGES: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 86_400.0,
];

/// Buckets of the ages of tokens: from a second to a day.
const AGES: &[f64] = &[
    1.0, 10.0, 60.0, 300.0, 600.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
    86_400.0,
];

/// The histograms with other buckets than [`SECONDS`].
const OTHER_BUCKETS: [(&str, &[f64]); 3] = [
    ("latchkey_outbox_publish_seconds", OUTAGES),
    ("latchkey_event_lag_seconds", OUTAGES),
    ("latchkey_token_age_seconds", AGES),
];

/// Samples of histograms are aggregated at least this often, so that memory stays bounded without
/// scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Between two measurements of [`sample`].
const SAMPLED_EVERY: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Recorder> = OnceLock::new();
static INSTALL: Mutex<()> = Mutex::new(());

struct Recorder {
    handle: PrometheusHandle,
    process: Collector,
}

/// Installs the recorder, once per process; must be called within the runtime of the service. A
/// failure is logged and does not stop the start.
pub fn install() {
    let _one_at_a_time = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if RECORDER.get().is_some() {
        return;
    }
    match builder().and_then(PrometheusBuilder::install_recorder) {
        Ok(handle) => {
            let upkeep = handle.clone();
            let process = Collector::default();
            process.describe();
            if RECORDER.set(Recorder { handle, process }).is_ok() {
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

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let all = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(all, SECONDS)?;
    OTHER_BUCKETS
        .into_iter()
        .try_fold(builder, |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
        })
}

/// The metrics in the text format of Prometheus; empty before [`install`].
pub fn render() -> String {
    let Some(recorder) = RECORDER.get() else {
        return String::new();
    };
    recorder.process.collect();
    recorder.handle.render()
}

/// Sets `latchkey_build_info`.
pub fn set_build_info(build: &BuildInfo) {
    describe_gauge!(
        "latchkey_build_info",
        "The build that runs: its version and its git commit. Always 1."
    );
    gauge!("latchkey_build_info", "version" => build.version, "commit" => build.git_commit)
        .set(1.0);
}

/// Calls `measure` at once and then every five seconds, until `stop`. For gauges of values that
/// change without an event.
pub async fn sample(stop: CancellationToken, measure: impl Fn()) {
    loop {
        measure();
        let pause = tokio::time::sleep(SAMPLED_EVERY);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::{histogram, with_local_recorder};

    use super::*;

    #[test]
    fn a_name_with_buckets_of_its_own_does_not_have_the_usual_ones() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            histogram!("latchkey_usual_seconds").record(0.2);
            for (name, _) in OTHER_BUCKETS {
                histogram!(name).record(90_000.0);
            }
        });
        let text = handle.render();
        assert!(
            text.contains("latchkey_usual_seconds_bucket{le=\"0.25\"} 1"),
            "{text}"
        );
        for (name, _) in OTHER_BUCKETS {
            let longest = format!("{name}_bucket{{le=\"86400\"}} 0");
            assert!(text.contains(&longest), "{text}");
        }
    }
}
