//! Limits of the size and the duration of a request. A request that is too large is refused
//! before anything reads it.

use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, UPGRADE};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};
use latchkey_service::database::ANSWER;

use crate::http::default_errors;
use crate::login::next_steps::problem;

/// Maximum length of path and query, in bytes.
const MAX_URI: usize = 10 * 1024;

/// Maximum length of all header names and values together, in bytes.
const MAX_HEADERS: usize = 24 * 1024;

/// Maximum length of a body, in bytes. Every body here is a short form. A body without
/// `Content-Length` is counted while it is read.
pub const MAX_BODY: usize = 16 * 1024;

/// Deadline of a request. It ends a request whose body arrives slowly, or whose database
/// connection another request needs.
pub const DEFAULT_DEADLINE: Duration = ANSWER;

/// Deadline of a request that waits for a provider, a name server or another service, which
/// have timeouts of their own.
pub const LONG_DEADLINE: Duration = Duration::from_mins(1);

/// Middleware that refuses requests that are too large.
///
/// # Errors
/// Returns the error of the handler.
pub async fn enforce_limits<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let Some(status) = excess(&request) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    tracing::warn!(
        status = status.as_u16(),
        outcome = "refused",
        "request too large, or an upgrade"
    );
    let refusal = closing_response(request.request(), status);
    Ok(request.into_response(refusal).map_into_right_body())
}

/// Middleware that ends a request at its deadline. It wraps each route and not the
/// application, because the request can be kept for the response only after it is routed.
///
/// # Errors
/// Returns the error of the handler.
pub async fn with_deadline<B: MessageBody>(
    longest: Duration,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let kept = request.request().clone();
    if let Ok(answer) = tokio::time::timeout(longest, next.call(request)).await {
        return Ok(answer?.map_into_left_body());
    }
    tracing::warn!(outcome = "given_up", "a request took too long");
    let refusal = closing_response(&kept, StatusCode::REQUEST_TIMEOUT);
    Ok(ServiceResponse::new(kept, refusal).map_into_right_body())
}

/// Builds an error page that closes the connection, because the rest of the request is not
/// read.
fn closing_response(request: &HttpRequest, status: StatusCode) -> HttpResponse {
    let mut answer = problem(request, &default_errors::explanation(status), None);
    answer.head_mut().set_connection_type(ConnectionType::Close);
    answer
}

fn excess(request: &ServiceRequest) -> Option<StatusCode> {
    let uri = request.uri().path().len() + request.query_string().len();
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let body = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if upgrades(request) {
        Some(StatusCode::BAD_REQUEST)
    } else if uri > MAX_URI {
        Some(StatusCode::URI_TOO_LONG)
    } else if headers > MAX_HEADERS {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if body > MAX_BODY {
        Some(StatusCode::PAYLOAD_TOO_LARGE)
    } else {
        None
    }
}

/// Returns `true` for an upgrade to WebSocket. No handler supports it, and its body has no
/// end, so a handler would wait for it.
fn upgrades(request: &ServiceRequest) -> bool {
    request.headers().get_all(UPGRADE).any(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"websocket")
    })
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::{DefaultHeaders, from_fn};
    use actix_web::{App, test, web};

    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_answered_with_a_page_and_every_header() {
        let soon = |request, next| with_deadline(Duration::from_millis(1), request, next);
        let never = web::to(std::future::pending::<HttpResponse>);
        let app = App::new()
            .default_service(never.wrap(from_fn(soon)))
            .wrap(DefaultHeaders::new().add(("x-frame-options", "DENY")));
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().uri("/slow").to_request();
        let answer = test::call_service(&app, request).await;
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(answer.headers().get("x-frame-options").unwrap(), "DENY");
        let head = answer.response().head();
        assert_eq!(head.connection_type(), ConnectionType::Close);
        let page = test::read_body(answer).await;
        let page = std::str::from_utf8(&page).unwrap();
        assert!(page.contains("<h1>This took too long</h1>"), "{page}");
    }
}
