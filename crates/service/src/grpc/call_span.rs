//! The span of a gRPC call at its server, and what the spans of both sides have in common
//! (semantic conventions of OpenTelemetry for gRPC).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::telemetry::{KeyValue, SpanKind, TraceSpan};

/// Methods of the services that every server has beside its own.
const COMMON_METHODS: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Name of a method that the server does not have: callers choose the text.
const OTHER: &str = "_OTHER";

/// A layer that makes a span for each call, in the trace of its caller. The span ends with the
/// answer of a call, and with the beginning of a stream.
#[derive(Debug, Clone)]
pub(super) struct ServerSpanLayer {
    methods: Arc<BTreeSet<String>>,
}

impl ServerSpanLayer {
    /// The layer for a server of `service`, e.g. `latchkey.token.v1.TokenService`.
    pub(super) fn of(service: &str) -> Self {
        let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
        let own = latchkey_proto::methods_of(package, name)
            .into_iter()
            .map(|method| format!("{service}/{method}"));
        let common = COMMON_METHODS.into_iter().map(str::to_owned);
        Self {
            methods: Arc::new(own.chain(common).collect()),
        }
    }
}

impl<S> Layer<S> for ServerSpanLayer {
    type Service = ServerSpans<S>;

    fn layer(&self, inner: S) -> ServerSpans<S> {
        ServerSpans {
            methods: Arc::clone(&self.methods),
            inner,
        }
    }
}

/// A service behind a [`ServerSpanLayer`].
#[derive(Debug, Clone)]
pub(super) struct ServerSpans<S> {
    methods: Arc<BTreeSet<String>>,
    inner: S,
}

impl<S> ServerSpans<S> {
    fn span(&self, request: &Request<Body>) -> TraceSpan {
        let traceparent = request.headers().get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        TraceSpan::start(SpanKind::Server, traceparent, || {
            let method = request.uri().path().trim_start_matches('/');
            let method = self.methods.get(method).map_or(OTHER, String::as_str);
            let method = method.to_owned();
            let attributes = vec![
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", method.clone()),
            ];
            (method.into(), attributes)
        })
    }
}

impl<S> Service<Request<Body>> for ServerSpans<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = self.span(&request);
        // The call is authorized here, and the record of it has the id of the trace.
        let answering = span.in_scope(|| self.inner.call(request));
        Box::pin(async move {
            let answered = span.around(answering).await;
            if let Ok(response) = &answered {
                let code = code_of(response.headers());
                record_outcome(&span, code, is_fault_of_server(code));
            }
            answered
        })
    }
}

/// The code of an answer. An answer without a message has it in its headers, and the code of any
/// other is [`Code::Ok`].
pub(super) fn code_of(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).map_or(Code::Ok, |status| status.code())
}

/// Records how a call ended.
pub(super) fn record_outcome(span: &TraceSpan, code: Code, is_error: bool) {
    let name = name_of(code);
    span.record("rpc.response.status_code", name);
    if is_error {
        span.record_failure(name);
    }
}

/// Returns `true` for the codes that are an error at the server, and not only for its caller.
fn is_fault_of_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The name of a code, as the specification of gRPC has it.
fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
