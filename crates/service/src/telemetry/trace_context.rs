//! W3C trace context as text, for an outbox row, an AMQP header or an HTTP header.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Name of the header, <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT: &str = "traceparent";

/// The trace context of the current span, if it belongs to a trace.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// The current trace id. Its text has 32 hexadecimal digits and is the reference on error pages.
pub fn current_trace_id() -> Option<TraceId> {
    let context = Context::current();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_valid().then(|| span_context.trace_id())
}

/// Makes `span` a child in the trace of `traceparent`. If it is absent or malformed, the span begins
/// a new trace. Call it before the span is entered.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else {
        return;
    };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carrier);
    // Fails only if telemetry is not set up, and then there is no trace.
    let _ = span.set_parent(parent);
}
