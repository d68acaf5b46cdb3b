//! W3C trace context as text, for an outbox row, an AMQP header or an HTTP header.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Name of the header, <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT: &str = "traceparent";

/// The trace context of the current span, if it belongs to a trace.
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The trace context of a span, if it belongs to a trace.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
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
    if let Some(parent) = traceparent.and_then(extract) {
        let parent = Context::new().with_remote_span_context(parent);
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
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}
