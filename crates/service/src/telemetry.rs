//! Traces and logs (R45): one trace goes from the browser's callback through the broker to the jobs,
//! and another from a caller over gRPC to the provider. Each log line carries the id of its trace.
//!
//! Names and attributes of spans follow the semantic conventions of OpenTelemetry.

mod exporter;
mod library_lines;
mod log_line;
mod statement_spans;
mod trace_context;

use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::database::acquire_times;

pub use opentelemetry::trace::TraceId;

pub use log_line::{LogFormat, LogLine};
pub use trace_context::{
    current_span_id, current_trace_id, current_traceparent, link_to, set_parent, traceparent_of,
};

use exporter::Endpoint;
use statement_spans::{STATEMENTS, Server, StatementSpans};

/// How long the export of the remaining spans may delay the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Owns the exporter of traces; [`Telemetry::flush`] exports the remaining spans.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Exports the remaining spans and shuts the exporter down, within 5 seconds. Whatever ends a
    /// span must have ended before.
    pub async fn flush(self) {
        // The exporter blocks its thread meanwhile.
        let shut_down = move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        let ended = tokio::task::spawn_blocking(shut_down).await;
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
    endpoint: Option<Endpoint>,
    /// The database whose statements are traced.
    database: Server,
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
            let endpoint = Endpoint::from_environment(environment);
        }
        Ok(Self {
            format,
            filter,
            endpoint,
            database: Server::from_environment(environment),
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
        let mut statements = Targets::new();
        if let Some(endpoint) = self.endpoint {
            provider = provider.with_batch_exporter(endpoint.exporter()?);
            statements = statements.with_target(STATEMENTS, LevelFilter::DEBUG);
        }
        let provider = provider.build();

        tracing_subscriber::registry()
            .with(acquire_times())
            // Before the log: the log line reads the trace that this layer opens.
            .with(
                tracing_opentelemetry::layer()
                    .with_tracer(provider.tracer(service))
                    // It costs two readings of the clock whenever a span is entered.
                    .with_tracked_inactivity(false)
                    // The worker thread that created a span has no meaning, and its place in the
                    // source belongs to a version.
                    .with_threads(false)
                    .with_location(false)
                    .with_filter(traced()),
            )
            .with(
                StatementSpans::new(provider.tracer(service), self.database)
                    .with_filter(statements),
            )
            .with(
                tracing_subscriber::fmt::layer()
                    // A log line has the name of its span and none of its fields.
                    .fmt_fields(debug_fn(|_, _, _| Ok(())))
                    .event_format(LogLine::new(service, self.format))
                    .with_filter(self.filter),
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
    EnvFilter::try_new(directives).map_err(|_| {
        let problem = "must be error, warn, info, debug, trace or off, or a list with levels of \
                       crates such as info,sqlx=warn";
        ConfigError::new(NAME, problem)
    })
}

/// The spans and events of traces. They do not depend on `RUST_LOG`: what a log line of level
/// `debug` shows is for the eyes of whoever turned it on, and a trace goes to another server.
fn traced() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(STATEMENTS, LevelFilter::OFF)
        .with_target("sqlx::pool", LevelFilter::WARN)
}

#[cfg(test)]
mod tests {
    use super::exporter::ENDPOINT;
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
