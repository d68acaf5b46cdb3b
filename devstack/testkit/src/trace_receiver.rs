//! A receiver of traces: OTLP over gRPC, with and without TLS.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use latchkey_servers::KeyPairFiles;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::{Request, Response, Status};

use crate::otlp_server::{Attributes, OtlpServer, attributes, service_of};

/// A span that a service exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSpan {
    /// `service.name` of the resource.
    pub service: String,
    /// Name of the span.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// Trace id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Span id, 16 hexadecimal digits.
    pub span_id: String,
    /// Span id of the parent; empty if there is none.
    pub parent_id: String,
    /// Trace ids and span ids of the links.
    pub links: Vec<(String, String)>,
    /// Attributes of the span.
    pub attributes: Attributes,
    /// Names and attributes of its events.
    pub events: Vec<(String, Attributes)>,
    /// Whether its status is an error.
    pub is_error: bool,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: (u64, u64),
}

impl ReceivedSpan {
    fn read(service: &str, span: Span) -> Self {
        let kind = span.kind().as_str_name();
        Self {
            service: service.to_owned(),
            kind: kind.trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            links: span
                .links
                .iter()
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .collect(),
            events: span
                .events
                .into_iter()
                .map(|event| (event.name, attributes(event.attributes)))
                .collect(),
            is_error: span
                .status
                .is_some_and(|status| status.code() == StatusCode::Error),
            time: (span.start_time_unix_nano, span.end_time_unix_nano),
            name: span.name,
            attributes: attributes(span.attributes),
        }
    }

    /// Returns an attribute; empty if it is absent.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A server that stores what is exported to it. It stops when it is dropped.
#[derive(Debug)]
pub struct TraceReceiver {
    server: OtlpServer,
    spans: Arc<Mutex<Vec<ReceivedSpan>>>,
}

impl TraceReceiver {
    /// Starts a receiver without TLS.
    ///
    /// # Panics
    /// It does not start.
    pub fn start() -> Self {
        let spans = Arc::default();
        let service = TraceServiceServer::new(Receiver(Arc::clone(&spans)));
        let server = OtlpServer::start(|server| server.add_service(service));
        Self { server, spans }
    }

    /// Starts a receiver whose certificate names `localhost`.
    ///
    /// # Panics
    /// It does not start, or the files cannot be used.
    pub fn start_with_tls(server: &KeyPairFiles) -> Self {
        let spans = Arc::default();
        let service = TraceServiceServer::new(Receiver(Arc::clone(&spans)));
        let server = OtlpServer::start_with_tls(server, |server| server.add_service(service));
        Self { server, spans }
    }

    /// Returns the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// Returns the spans that have arrived.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.clone()
    }
}

struct Receiver(Arc<Mutex<Vec<ReceivedSpan>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for exported in request.into_inner().resource_spans {
            let service = service_of(exported.resource);
            let spans = exported
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            stored.extend(spans.map(|span| ReceivedSpan::read(&service, span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
