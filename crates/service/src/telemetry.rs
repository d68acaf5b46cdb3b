//! Traces and logs (R45): one trace goes from the browser's callback through the broker to the gRPC
//! call, and each log line carries its id.

mod log_line;
mod trace_context;

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use opentelemetry::trace::TraceId;

pub use log_line::{LogFormat, LogLine};
pub use trace_context::{current_trace_id, current_traceparent, set_parent};

/// An export that takes longer is given up, and its spans are lost.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

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

/// Sets up logs on standard output (`LOG_FORMAT` is `json` or `text`, `RUST_LOG` filters) and
/// traces, which are exported over OTLP/gRPC if `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Trace ids
/// exist in both cases.
///
/// # Errors
/// One of the variables is wrong.
pub fn init(service: &'static str, environment: &Environment) -> Result<Telemetry, ConfigError> {
    let format: LogFormat = environment.parsed("LOG_FORMAT", LogFormat::Json)?;
    let filter = environment
        .optional("RUST_LOG")?
        .unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| ConfigError::new("RUST_LOG", format!("is wrong: {error}")))?;

    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let mut provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build());
    if let Some(endpoint) = environment.optional("OTEL_EXPORTER_OTLP_ENDPOINT")? {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| {
                ConfigError::new("OTEL_EXPORTER_OTLP_ENDPOINT", format!("is wrong: {error}"))
            })?;
        provider = provider.with_batch_exporter(exporter);
    }
    let provider = provider.build();

    tracing_subscriber::registry()
        .with(filter)
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
                .event_format(LogLine::new(service, format)),
        )
        .try_init()
        .map_err(|error| ConfigError::new("LOG_FORMAT", format!("cannot log: {error}")))?;
    Ok(Telemetry { provider })
}
