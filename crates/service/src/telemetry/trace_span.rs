//! Spans of what happens often: of each gRPC call and of each message.
//!
//! A span of `tracing` is kept in a registry, and every layer of the subscriber is asked about it when it
//! begins, is entered, is left, is written to and ends. For a token that is cached this is more work than
//! the call itself. The spans here belong to OpenTelemetry alone. A span of `tracing` and a log line within
//! one belong to it as they belong to a span of `tracing`.

use std::borrow::Cow;
use std::sync::OnceLock;

use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::{
    SpanBuilder, SpanContext, Status, TraceContextExt as _, TraceFlags, TraceState, Tracer as _,
};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracer};

use super::trace_context::{context_of, traceparent_in};

pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::SpanKind;

static PROCESS: OnceLock<ProcessTracer> = OnceLock::new();

struct ProcessTracer {
    tracer: SdkTracer,
    /// Whether somebody reads names and attributes.
    exports: bool,
}

/// Sets the tracer of all spans of this process. Without one, spans belong to no trace.
pub(super) fn install(tracer: SdkTracer, exports: bool) {
    // Telemetry is set up once: the log refuses a second time.
    let _ = PROCESS.set(ProcessTracer { tracer, exports });
}

/// A span. It ends when it and the futures that it is around are dropped, and the tasks that were given
/// its trace.
#[derive(Debug)]
pub struct TraceSpan {
    context: Context,
    is_exported: bool,
}

impl TraceSpan {
    /// Starts a span in the trace of `traceparent`. If that is absent or malformed, the span is a child of
    /// the current one. `description` is the name and the attributes, which are made only if spans are
    /// exported.
    pub fn start(
        kind: SpanKind,
        traceparent: Option<&str>,
        description: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>),
    ) -> Self {
        let parent = traceparent
            .and_then(context_of)
            .unwrap_or_else(Context::current);
        let Some(ProcessTracer { tracer, exports }) = PROCESS.get() else {
            return Self {
                context: parent,
                is_exported: false,
            };
        };
        let context = if *exports {
            let (name, attributes) = description();
            let builder = SpanBuilder::from_name(name).with_attributes(attributes);
            let span = tracer.build_with_context(builder.with_kind(kind), &parent);
            parent.with_span(span)
        } else {
            parent.with_remote_span_context(unrecorded(&parent))
        };
        Self {
            context,
            is_exported: *exports,
        }
    }

    /// Makes this span the current one of a future.
    pub fn around<F: Future>(&self, future: F) -> WithContext<F> {
        future.with_context(self.context.clone())
    }

    /// Makes this span the current one while `work` runs.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _current = self.context.clone().attach();
        work()
    }

    /// The trace context of the span, if it belongs to a trace.
    pub fn traceparent(&self) -> Option<String> {
        traceparent_in(&self.context)
    }

    /// Records an attribute that was not known at the start.
    pub fn record(&self, key: &'static str, value: impl Into<Value>) {
        if self.is_exported {
            let span = self.context.span();
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Records that the operation failed. `kind` is one of few texts.
    pub fn record_failure(&self, kind: &'static str) {
        if self.is_exported {
            self.record("error.type", kind);
            self.context.span().set_status(Status::error(""));
        }
    }
}

/// A span of which nobody reads more than the ids: in log lines, in the audit, and in the spans of other
/// programs.
fn unrecorded(parent: &Context) -> SpanContext {
    let ids = RandomIdGenerator::default();
    let parent = parent.span();
    let parent = parent.span_context();
    let (trace, flags) = if parent.is_valid() {
        (parent.trace_id(), parent.trace_flags())
    } else {
        (ids.new_trace_id(), TraceFlags::SAMPLED)
    };
    SpanContext::new(trace, ids.new_span_id(), flags, false, TraceState::NONE)
}

/// The span that was current at one moment, to be that of a future later.
#[derive(Debug, Clone)]
pub struct CurrentTrace(Context);

impl CurrentTrace {
    /// The span that is current now.
    pub fn now() -> Self {
        Self(Context::current())
    }

    /// Makes the span that of a future too, which another task may poll.
    pub fn around<F: Future>(self, future: F) -> WithContext<F> {
        future.with_context(self.0)
    }
}

/// Makes the current span that of a future too, which another task may poll.
pub fn in_current_trace<F: Future>(future: F) -> WithContext<F> {
    CurrentTrace::now().around(future)
}
