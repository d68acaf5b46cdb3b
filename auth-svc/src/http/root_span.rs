//! The root span of a request (semantic conventions of OpenTelemetry for HTTP servers). It has the
//! route and neither the path nor the query: the query of a callback has the authorization code,
//! and a path is what somebody typed.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use latchkey_service::telemetry;
use tracing::Span;
use tracing::field::Empty;
use tracing_actix_web::RootSpanBuilder;

use crate::http::route_pattern::without_rules;

/// Creates the span in a trace of its own, with a link to the span of an incoming `traceparent`:
/// anybody on the internet can send one.
#[derive(Debug)]
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let route = request.match_pattern().map(|route| without_rules(&route));
        let method = known_method(request.method());
        let name = match (method.unwrap_or("HTTP"), &route) {
            (method, Some(route)) => format!("{method} {route}"),
            (method, None) => method.to_owned(),
        };
        let scheme = if request.app_config().secure() {
            "https"
        } else {
            "http"
        };
        let span = tracing::info_span!(
            "http.request",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method.unwrap_or("_OTHER"),
            http.route = route,
            http.response.status_code = Empty,
            // An id in the path stays in the log of this service.
            url.path = route,
            url.scheme = scheme,
            "error.type" = Empty,
        );
        let traceparent = request
            .headers()
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        telemetry::link_to(&span, traceparent);
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// The methods that the conventions name (RFC 9110 and RFC 5789). Clients choose any other text.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}
