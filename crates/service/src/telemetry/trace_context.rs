//! W3C trace context as text, for an outbox row, an AMQP header or an HTTP header.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Name of the header, <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT: &str = "traceparent";

/// The trace context of the current span, if it belongs to a trace.
pub fn current_traceparent() -> Option<String> {
    traceparent_in(&Context::current())
}

/// The same of the span of a context.
pub(super) fn traceparent_in(context: &Context) -> Option<String> {
    let mut written = Written(None);
    TraceContextPropagator::new().inject_context(context, &mut written);
    written.0
}

/// A context with the span of `traceparent` as its remote span, if it is well-formed.
pub(super) fn context_of(traceparent: &str) -> Option<Context> {
    extract(traceparent).map(|parent| Context::new().with_remote_span_context(parent))
}

/// The current trace id. Its text has 32 hexadecimal digits and is the reference on error pages.
pub fn current_trace_id() -> Option<TraceId> {
    current().map(|span| span.trace_id())
}

/// The id of the current span. Its text has 16 hexadecimal digits.
pub fn current_span_id() -> Option<SpanId> {
    current().map(|span| span.span_id())
}

fn current() -> Option<SpanContext> {
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Makes `span` a child in the trace of `traceparent`. If it is absent or malformed, the span begins
/// a new trace. Call it before the span is entered. For callers that this service knows; see
/// [`link_to`] for others.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(context_of) {
        // Fails only if telemetry is not set up, and then there is no trace.
        let _ = span.set_parent(parent);
    }
}

/// Links `span` to the span of `traceparent`, if it is well-formed, and leaves it in its own trace.
/// For callers from the internet: whoever could choose the trace could put their requests into the
/// trace of somebody else, and decide what is sampled.
pub fn link_to(span: &Span, traceparent: Option<&str>) {
    if let Some(caller) = traceparent.and_then(extract) {
        span.add_link(caller);
    }
}

fn extract(traceparent: &str) -> Option<SpanContext> {
    let read = Read(traceparent);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &read);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Takes the `traceparent` of a context; a `tracestate` is not passed on.
struct Written(Option<String>);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

/// Headers with nothing but a `traceparent`.
struct Read<'a>(&'a str);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
