//! Whether, where and how often metrics are exported over OTLP, by the standard variables of
//! OpenTelemetry.

use std::ops::RangeInclusive;
use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

use super::exporter::{ENDPOINT, Endpoint};

const EXPORTERS: &str = "OTEL_METRICS_EXPORTER";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// The export over OTLP.
const OTLP: &str = "otlp";

/// Values of the standard that ask for nothing: `/metrics` is there in any case.
const OTHERS: [&str; 2] = ["none", "prometheus"];

/// Milliseconds between two exports, as in the specification.
const USUAL_INTERVAL: u64 = 60_000;

/// From a tenth of a second to a day.
const INTERVALS: RangeInclusive<u64> = 100..=86_400_000;

/// An export that the variables ask for.
#[derive(Debug)]
pub(super) struct MetricExport {
    receiver: Endpoint,
    interval: Duration,
}

impl MetricExport {
    /// Reads the variables. `OTEL_METRICS_EXPORTER` decides; if it is not set, the receiver of
    /// metrics does. The receiver of traces receives them only if they are asked for.
    ///
    /// # Errors
    /// A variable is faulty, or there is no receiver of what is asked for.
    pub(super) fn from_environment(
        environment: &Environment,
    ) -> Result<Option<Self>, ConfigErrors> {
        read_all! {
            let is_asked_for = is_asked_for(environment);
            let own = Endpoint::from_environment(environment, METRICS_ENDPOINT);
            let general = Endpoint::from_environment(environment, ENDPOINT);
            let milliseconds = environment.number(INTERVAL, USUAL_INTERVAL, INTERVALS);
        }
        let receiver = match is_asked_for {
            Some(false) => None,
            Some(true) => Some(own.or(general).ok_or_else(|| {
                let problem = format!(
                    "is missing: set it to the receiver of metrics, such as \
                     http://otel-collector:4317, or remove {EXPORTERS}={OTLP}"
                );
                ConfigError::new(METRICS_ENDPOINT, problem)
            })?),
            None => own,
        };
        Ok(receiver.map(|receiver| Self {
            receiver,
            interval: Duration::from_millis(milliseconds),
        }))
    }

    /// Starts the exports, which begin after the first interval; must be called within the runtime
    /// of the service.
    ///
    /// # Errors
    /// The exporter cannot be built.
    pub(super) fn start(self, resource: Resource) -> Result<SdkMeterProvider, ConfigError> {
        let reader = PeriodicReader::builder(self.receiver.metric_exporter()?)
            .with_interval(self.interval)
            .build();
        Ok(SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader)
            .build())
    }
}

/// Whether `OTEL_METRICS_EXPORTER` names the export over OTLP; `None` if it is not set.
fn is_asked_for(environment: &Environment) -> Result<Option<bool>, ConfigError> {
    let names = environment.list(EXPORTERS)?;
    let is_known = |name: &String| name == OTLP || OTHERS.contains(&name.as_str());
    if !names.iter().all(is_known) {
        let problem = "must be otlp, or none: /metrics is there in any case";
        return Err(ConfigError::new(EXPORTERS, problem));
    }
    Ok((!names.is_empty()).then(|| names.iter().any(|name| name == OTLP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let environment = variables.iter().copied().collect();
        MetricExport::from_environment(&environment)
            .map(|export| export.map(|export| export.receiver.url))
            .map_err(|errors| errors.to_string())
    }

    // R40, R45
    #[test]
    fn metrics_are_exported_only_if_the_standard_variables_ask_for_it() {
        const TRACES: (&str, &str) = (ENDPOINT, "http://traces:4317");
        const METRICS: (&str, &str) = (METRICS_ENDPOINT, "https://metrics:4317");
        let to = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(receiver(&[]), Ok(None));
        assert_eq!(receiver(&[TRACES]), Ok(None));
        assert_eq!(receiver(&[TRACES, METRICS]), to(METRICS.1));
        for name in ["otlp", "otlp,prometheus"] {
            let asked = (EXPORTERS, name);
            assert_eq!(receiver(&[asked, TRACES]), to(TRACES.1));
            assert_eq!(receiver(&[asked, TRACES, METRICS]), to(METRICS.1));
            let error = receiver(&[asked]).unwrap_err();
            assert!(error.starts_with(METRICS_ENDPOINT), "{error}");
        }
        for name in OTHERS {
            assert_eq!(receiver(&[(EXPORTERS, name), METRICS]), Ok(None));
        }
    }
}
