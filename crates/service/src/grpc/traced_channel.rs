//! The span of a gRPC call at its caller. The call carries the trace context of that span.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri};
use tonic::Code;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

use super::call_span::{code_of, record_outcome};
use crate::telemetry::{KeyValue, SpanKind, TraceSpan};

/// A channel over which each call has a span. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TracedChannel {
    channel: Channel,
    host: Arc<str>,
    port: Option<u16>,
}

impl TracedChannel {
    /// A channel to the server at `address`.
    pub(super) fn new(channel: Channel, address: &Uri) -> Self {
        Self {
            channel,
            host: address.host().unwrap_or_default().into(),
            port: address.port_u16(),
        }
    }

    /// The span of a call, and the request with the context of that span.
    fn span(&self, request: &mut Request<Body>) -> TraceSpan {
        let span = TraceSpan::start(SpanKind::Client, None, || {
            let method = request.uri().path().trim_start_matches('/').to_owned();
            let mut attributes = vec![
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", method.clone()),
                KeyValue::new("server.address", Arc::clone(&self.host)),
            ];
            if let Some(port) = self.port {
                attributes.push(KeyValue::new("server.port", i64::from(port)));
            }
            (method.into(), attributes)
        });
        let traceparent = span.traceparent();
        let traceparent = traceparent.and_then(|value| HeaderValue::try_from(value).ok());
        if let Some(traceparent) = traceparent {
            request.headers_mut().insert("traceparent", traceparent);
        }
        span
    }
}

impl Service<Request<Body>> for TracedChannel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let span = self.span(&mut request);
        let answering = span.in_scope(|| self.channel.call(request));
        Box::pin(async move {
            let answered = span.around(answering).await;
            // An error of the channel becomes this code of the call.
            let code = answered
                .as_ref()
                .map_or(Code::Unavailable, |response| code_of(response.headers()));
            record_outcome(&span, code, code != Code::Ok);
            answered
        })
    }
}
