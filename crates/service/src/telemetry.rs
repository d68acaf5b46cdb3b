//! Traces, logs and the export of metrics (R45): one trace goes from the browser's callback through
//! the broker to the jobs, and another from a caller over gRPC to the provider. Each log line carries
//! the id of its trace. Metrics are at `/metrics`; they are exported too if variables ask for it.
//!
//! Names and attributes of spans follow the semantic conventions of OpenTelemetry.

mod exporter;
mod library_lines;
mod log_line;
mod metric_export;
mod span_events;
mod statement_spans;
mod trace_context;
mod trace_span;

use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use opentelemetry::Key;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use uuid::Uuid;

use crate::database::acquire_times;

pub use opentelemetry::trace::TraceId;

pub use log_line::{LogFormat, LogLine};
pub use trace_context::{
    current_span_id, current_trace_id, current_traceparent, link_to, set_parent,
};
pub use trace_span::{CurrentTrace, KeyValue, SpanKind, TraceSpan, in_current_trace};

use exporter::{ENDPOINT, Endpoint};
use metric_export::MetricExport;
use span_events::SpanEvents;
use statement_spans::{STATEMENTS, Server, StatementSpans};

/// How long the export of the remaining spans and of the metrics may delay the end of the process.
/// The SDK has the same limit for metrics.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Name of what counts, beside `service.name`.
const METER: &str = "latchkey";

const INSTANCE: Key = Key::from_static_str("service.instance.id");

/// Owns the exporters of traces and metrics; [`Telemetry::flush`] exports the rest.
#[derive(Debug)]
pub struct Telemetry {
    spans: SdkTracerProvider,
    metrics: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// The meter whose values are exported, if metrics are exported.
    pub fn meter(&self) -> Option<Meter> {
        self.metrics.as_ref().map(|provider| provider.meter(METER))
    }

    /// Exports the remaining spans and the metrics a last time, and shuts the exporters down,
    /// within 5 seconds. Whatever ends a span must have ended before.
    pub async fn flush(self) {
        let Self { spans, metrics } = self;
        let spans = shut_down(move || spans.shutdown_with_timeout(FLUSH_TIMEOUT));
        let metrics = shut_down(move || {
            metrics.map_or(Ok(()), |metrics| {
                metrics.shutdown_with_timeout(FLUSH_TIMEOUT)
            })
        });
        let (spans, metrics) = tokio::join!(spans, metrics);
        if let Err(error) = spans {
            tracing::warn!(%error, "some spans were not exported");
        }
        if let Err(error) = metrics {
            tracing::warn!(%error, "the last values of the metrics were not exported");
        }
    }
}

/// Shuts an exporter down, which blocks its thread meanwhile.
async fn shut_down(exporter: impl FnOnce() -> OTelSdkResult + Send + 'static) -> OTelSdkResult {
    // It does not panic and is not cancelled.
    let ended = tokio::task::spawn_blocking(exporter).await;
    ended.unwrap_or(Ok(()))
}

/// The configuration of logs, traces and the export of metrics.
#[derive(Debug)]
pub struct Settings {
    /// `LOG_FORMAT`.
    format: LogFormat,
    /// `RUST_LOG`.
    filter: EnvFilter,
    /// Receiver of traces: `OTEL_EXPORTER_OTLP_ENDPOINT`.
    endpoint: Option<Endpoint>,
    /// The export of metrics, if there is one.
    metrics: Option<MetricExport>,
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
            let endpoint = Endpoint::from_environment(environment, ENDPOINT);
            let metrics = MetricExport::from_environment(environment);
        }
        Ok(Self {
            format,
            filter,
            endpoint,
            metrics,
            database: Server::from_environment(environment),
        })
    }

    /// Sets up logs on standard output, and traces, which are exported over OTLP/gRPC if there is
    /// a receiver; trace ids exist in both cases. Metrics are exported if
    /// [`install_with`](crate::metrics::install_with) is given the [`meter`](Telemetry::meter).
    ///
    /// # Errors
    /// An exporter cannot be built, or the process logs already.
    pub fn init(self, service: &'static str) -> Result<Telemetry, ConfigError> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let resource = resource(service);
        let mut provider = SdkTracerProvider::builder().with_resource(resource.clone());
        let exports = self.endpoint.is_some();
        if let Some(endpoint) = self.endpoint {
            provider = provider.with_batch_exporter(endpoint.span_exporter()?);
        }
        let provider = provider.build();
        let tracer = provider.tracer(service);
        // What nobody reads is not recorded.
        let events = exports.then(|| SpanEvents.with_filter(traced()));
        let statements = exports.then(|| {
            StatementSpans::new(tracer.clone(), self.database)
                .with_filter(Targets::new().with_target(STATEMENTS, LevelFilter::DEBUG))
        });
        let metrics = self.metrics.map(|export| export.start(resource));
        let metrics = metrics.transpose()?;

        tracing_subscriber::registry()
            .with(acquire_times())
            // Before the log: the log line reads the trace that this layer opens.
            .with(
                tracing_opentelemetry::layer()
                    .with_tracer(tracer.clone())
                    // It costs two readings of the clock whenever a span is entered.
                    .with_tracked_inactivity(false)
                    // The worker thread that created a span has no meaning, and its place in the
                    // source belongs to a version.
                    .with_threads(false)
                    .with_location(false)
                    .with_filter(filter_fn(is_traced_span).with_max_level_hint(Level::INFO)),
            )
            .with(events)
            .with(statements)
            .with(
                tracing_subscriber::fmt::layer()
                    // A log line has the name of its span and none of its fields.
                    .fmt_fields(debug_fn(|_, _, _| Ok(())))
                    .event_format(LogLine::new(service, self.format))
                    .with_filter(self.filter),
            )
            .try_init()
            .map_err(|error| ConfigError::new("LOG_FORMAT", format!("cannot log: {error}")))?;
        trace_span::install(tracer, exports);
        Ok(Telemetry {
            spans: provider,
            metrics,
        })
    }
}

/// The attributes of everything that is exported, with those of `OTEL_RESOURCE_ATTRIBUTES`. The id
/// of the instance tells the metrics of replicas apart.
fn resource(service: &'static str) -> Resource {
    let builder = || Resource::builder().with_service_name(service);
    let named = builder().build();
    if named.get(&INSTANCE).is_some() {
        return named;
    }
    let instance = KeyValue::new(INSTANCE, Uuid::new_v4().to_string());
    builder().with_attribute(instance).build()
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

/// Spans of level `info` and above. The filter needs the level as a hint too: without it, every library
/// would ask about each of its own spans.
fn is_traced_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO
}

/// The events of spans. They do not depend on `RUST_LOG`: what a log line of level
/// `debug` shows is for the eyes of whoever turned it on, and a trace goes to another server.
fn traced() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(STATEMENTS, LevelFilter::OFF)
        .with_target("sqlx::pool", LevelFilter::WARN)
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
            ("OTEL_METRICS_EXPORTER", "oltp"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "60s"),
        ];
        let errors = Settings::from_environment(&environment.into_iter().collect()).unwrap_err();
        let names: Vec<_> = errors.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "LOG_FORMAT",
                "RUST_LOG",
                ENDPOINT,
                "OTEL_METRICS_EXPORTER",
                "OTEL_METRIC_EXPORT_INTERVAL",
            ]
        );
        assert!(Settings::from_environment(&Environment::default()).is_ok());
    }

    // R45
    #[test]
    fn two_replicas_of_a_service_have_different_ids() {
        let [one, other] = [resource("test-svc"), resource("test-svc")];
        assert!(one.get(&INSTANCE).is_some());
        assert_ne!(one.get(&INSTANCE), other.get(&INSTANCE));
    }
}
