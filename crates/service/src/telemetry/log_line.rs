//! The format of the log: one line for each event, with its fields and the trace id.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{current_span_id, current_trace_id};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object, for machines.
    Json,
    /// `time LEVEL message key=value`, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("must be json or text"),
        }
    }
}

/// Formats events.
#[derive(Debug, Clone)]
pub struct LogLine {
    service: &'static str,
    format: LogFormat,
}

impl LogLine {
    /// The format of the lines of `service`.
    pub fn new(service: &'static str, format: LogFormat) -> Self {
        Self { service, format }
    }
}

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(trace_id) = current_trace_id() {
            fields
                .0
                .insert("trace_id".to_owned(), trace_id.to_string().into());
        }
        if let Some(span_id) = current_span_id() {
            fields
                .0
                .insert("span_id".to_owned(), span_id.to_string().into());
        }
        if let Some(span) = context.lookup_current() {
            fields.0.insert("span".to_owned(), span.name().into());
        }
        let message = fields.0.remove("message").unwrap_or_default();
        let metadata = event.metadata();
        match self.format {
            LogFormat::Json => {
                let mut line = Map::new();
                line.insert("time".to_owned(), time.into());
                line.insert("level".to_owned(), metadata.level().as_str().into());
                line.insert("service".to_owned(), self.service.into());
                line.insert("target".to_owned(), metadata.target().into());
                line.insert("message".to_owned(), message);
                line.append(&mut fields.0);
                writeln!(writer, "{}", Value::Object(line))
            }
            LogFormat::Text => {
                let message = message.as_str().unwrap_or_default();
                write!(writer, "{time} {:5} {message}", metadata.level())?;
                for (name, value) in &fields.0 {
                    write!(writer, " {name}={value}")?;
                }
                writeln!(writer)
            }
        }
    }
}

/// An event's fields as JSON values.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.put(field, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    // R45
    #[test]
    fn a_line_carries_its_fields_and_the_trace_it_belongs_to() {
        let sink = Sink::default();
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(
                tracing_subscriber::fmt::layer()
                    .event_format(LogLine::new("test-svc", LogFormat::Json))
                    .with_writer(move || writer.clone()),
            );
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let current = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("callback");
            crate::telemetry::set_parent(&span, Some(traceparent));
            let _entered = span.enter();
            tracing::info!(provider = "google", attempts = 2, "signed in");
            crate::telemetry::current_traceparent().unwrap()
        });
        let bytes = sink.0.lock().unwrap().clone();
        let line: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["message"], "signed in");
        assert_eq!(line["provider"], "google");
        assert_eq!(line["attempts"], 2);
        assert_eq!(line["span"], "callback");
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        let span_id = line["span_id"].as_str().unwrap();
        assert_eq!(
            current,
            format!("00-0af7651916cd43dd8448eb211c80319c-{span_id}-01")
        );
    }
}
