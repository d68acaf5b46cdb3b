//! Each event of `tracing` is an event of the current span too, whichever kind of span that is.

use std::fmt;

use opentelemetry::trace::{Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;

/// The field with the text of an event.
const MESSAGE: &str = "message";

/// The layer. Its filter says which events are added.
#[derive(Debug)]
pub(super) struct SpanEvents;

impl<S: Subscriber> Layer<S> for SpanEvents {
    fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let context = Context::current();
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let metadata = event.metadata();
        let mut content = Content {
            message: String::new(),
            attributes: vec![
                KeyValue::new("level", metadata.level().as_str()),
                KeyValue::new("target", metadata.target()),
            ],
        };
        event.record(&mut content);
        if *metadata.level() == Level::ERROR {
            span.set_status(Status::error(content.message.clone()));
        }
        span.add_event(content.message, content.attributes);
    }
}

/// The text and the fields of an event.
struct Content {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Visit for Content {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = value.to_owned();
        if field.name() == MESSAGE {
            self.message = value;
        } else {
            self.attributes.push(KeyValue::new(field.name(), value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
