//! The metrics of a process at `/metrics`, in the text format of Prometheus, and over OTLP if the
//! configuration asks for it. A service counts with the crate `metrics`, which does nothing unless a
//! recorder is installed.
//!
//! Each family is described where it is counted, and its series are created at the start:
//! Prometheus sees no increase in a counter that begins with 1.

mod buckets;
mod exporting_recorder;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use opentelemetry::metrics::Meter;
use tokio_util::sync::CancellationToken;

use crate::BuildInfo;

use exporting_recorder::ExportingRecorder;

/// Samples of histograms are aggregated at least this often, so that memory stays bounded without
/// scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Between two measurements of [`sample`].
const SAMPLED_EVERY: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Installed> = OnceLock::new();
static INSTALL: Mutex<()> = Mutex::new(());

/// What `/metrics` reads.
struct Installed {
    handle: PrometheusHandle,
    process: Collector,
}

/// Installs the recorder of `/metrics`, once per process; must be called within the runtime of the
/// service. A failure is logged and does not stop the start.
pub fn install() {
    install_with(None);
}

/// The same, and what is counted is exported by the reader of this meter too.
pub fn install_with(meter: Option<Meter>) {
    let _one_at_a_time = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if RECORDER.get().is_some() {
        return;
    }
    let is_exported = meter.is_some();
    match set_recorder(meter) {
        Ok(handle) => {
            let upkeep = handle.clone();
            let process = Collector::default();
            process.describe();
            if RECORDER.set(Installed { handle, process }).is_ok() {
                tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(UPKEEP).await;
                        upkeep.run_upkeep();
                        if is_exported {
                            measure_process();
                        }
                    }
                });
            }
        }
        Err(error) => tracing::warn!(%error, "no metrics"),
    }
}

/// Lets the crate `metrics` count with a new recorder.
fn set_recorder(meter: Option<Meter>) -> Result<PrometheusHandle, String> {
    let recorder = builder()
        .map_err(|error| error.to_string())?
        .build_recorder();
    let handle = recorder.handle();
    match meter {
        None => metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?,
        Some(meter) => metrics::set_global_recorder(ExportingRecorder::new(recorder, meter))
            .map_err(|error| error.to_string())?,
    }
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let usual = Matcher::Suffix(buckets::USUAL_SUFFIX.to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(usual, buckets::USUAL)?;
    buckets::OTHERS
        .into_iter()
        .try_fold(builder, |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
        })
}

/// Measures CPU time, memory and file descriptors now.
fn measure_process() {
    if let Some(installed) = RECORDER.get() {
        installed.process.collect();
    }
}

/// The metrics in the text format of Prometheus; empty before [`install`].
pub fn render() -> String {
    let Some(installed) = RECORDER.get() else {
        return String::new();
    };
    measure_process();
    installed.handle.render()
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
            for (name, _) in buckets::OTHERS {
                histogram!(name).record(90_000.0);
            }
        });
        let text = handle.render();
        assert!(
            text.contains("latchkey_usual_seconds_bucket{le=\"0.25\"} 1"),
            "{text}"
        );
        for (name, _) in buckets::OTHERS {
            let longest = format!("{name}_bucket{{le=\"86400\"}} 0");
            assert!(text.contains(&longest), "{text}");
        }
    }
}
