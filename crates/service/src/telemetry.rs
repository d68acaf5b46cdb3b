//! Traces and logs (R45): one trace goes from the browser's callback through the broker to the gRPC
//! call, and each log line carries its id.

mod library_lines;
mod log_line;
mod trace_context;

use std::time::Duration;

use http::Uri;
use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::database::{ACQUIRE_TIMES_DIRECTIVE, AcquireTimes};

pub use opentelemetry::trace::TraceId;

pub use log_line::{LogFormat, LogLine};
pub use trace_context::{current_trace_id, current_traceparent, set_parent};

/// An export that takes longer is given up, and its spans are lost.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Owns the exporter of traces; [`Telemetry::flush`] exports the remaining spans.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Exports the remaining spans and shuts the exporter down.
    pub async fn flush(self) {
        // The exporter blocks its thread meanwhile.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "some spans were not exported");
        }
    }
}

/// The configuration of logs and traces.
#[derive(Debug)]
pub struct Settings {
    /// `LOG_FORMAT`.
    format: LogFormat,
    /// `RUST_LOG`.
    filter: EnvFilter,
    /// Receiver of traces: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    endpoint: Option<String>,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// Variables are faulty.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let format = environment.parsed("LOG_FORMAT", LogFormat::Json);
            let filter = filter(environment);
            let endpoint = endpoint(environment);
        }
        Ok(Self {
            format,
            filter,
            endpoint,
        })
    }

    /// Sets up logs on standard output and traces, which are exported over OTLP/gRPC if there is
    /// a receiver. Trace ids exist in both cases.
    ///
    /// # Errors
    /// The exporter cannot be built, or the process logs already.
    pub fn init(self, service: &'static str) -> Result<Telemetry, ConfigError> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let mut provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(service).build());
        if let Some(endpoint) = self.endpoint {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(EXPORT_TIMEOUT)
                .build()
                .map_err(|error| ConfigError::new(ENDPOINT, format!("cannot be used: {error}")))?;
            provider = provider.with_batch_exporter(exporter);
        }
        let provider = provider.build();

        tracing_subscriber::registry()
            .with(self.filter)
            .with(AcquireTimes)
            // Before the log: the log line reads the trace that this layer opens.
            .with(
                tracing_opentelemetry::layer()
                    .with_tracer(provider.tracer(service))
                    // It costs two readings of the clock whenever a span is entered.
                    .with_tracked_inactivity(false)
                    // The worker thread that created a span has no meaning.
                    .with_threads(false),
            )
            .with(
                tracing_subscriber::fmt::layer()
                    // A log line has the name of its span and none of its fields.
                    .fmt_fields(debug_fn(|_, _, _| Ok(())))
                    .event_format(LogLine::new(service, self.format)),
            )
            .try_init()
            .map_err(|error| ConfigError::new("LOG_FORMAT", format!("cannot log: {error}")))?;
        Ok(Telemetry { provider })
    }
}

fn filter(environment: &Environment) -> Result<EnvFilter, ConfigError> {
    const NAME: &str = "RUST_LOG";
    let text = environment.optional(NAME)?;
    let directives = library_lines::filtered(text.as_deref().unwrap_or("info"));
    EnvFilter::try_new(format!("{directives},{ACQUIRE_TIMES_DIRECTIVE}")).map_err(|_| {
        let problem = "must be error, warn, info, debug, trace or off, or a list with levels of \
                       crates such as info,sqlx=warn";
        ConfigError::new(NAME, problem)
    })
}

fn endpoint(environment: &Environment) -> Result<Option<String>, ConfigError> {
    let Some(text) = environment.optional(ENDPOINT)? else {
        return Ok(None);
    };
    let is_url = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if is_url {
        Ok(Some(text))
    } else {
        let problem = "must be a URL with scheme and port, such as http://otel-collector:4317";
        Err(ConfigError::new(ENDPOINT, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R40, R45
    #[test]
    fn all_faulty_settings_are_named() {
        let environment = [
            ("LOG_FORMAT", "xml"),
            ("RUST_LOG", "info,sqlx=loud"),
            (ENDPOINT, "otel-collector:4317"),
        ];
        let errors = Settings::from_environment(&environment.into_iter().collect()).unwrap_err();
        let names: Vec<_> = errors.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(names, ["LOG_FORMAT", "RUST_LOG", ENDPOINT]);
        assert!(Settings::from_environment(&Environment::default()).is_ok());
    }
}
