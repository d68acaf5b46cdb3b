//! Bounds of a request: what is larger is refused before anything reads it.

use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CONTENT_LENGTH, UPGRADE};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

use crate::pages;

/// Longest address.
const MAX_URI: usize = 10 * 1024;

/// All header names and values together.
const MAX_HEADERS: usize = 24 * 1024;

/// Longest body: nothing here takes more than a short form. What comes without
/// a length is counted while it is read.
pub const MAX_BODY: usize = 16 * 1024;

/// A request that takes longer is given up: a body that drips, or a provider and
/// a database that are slow at once.
const LONGEST: Duration = Duration::from_mins(1);

/// Refuses what is too large.
///
/// # Errors
/// Those of the handler.
pub async fn bounds<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match excess(&request) {
        None => {
            let Ok(response) = tokio::time::timeout(LONGEST, next.call(request)).await else {
                tracing::warn!(outcome = "given_up", "a request took too long");
                let response = HttpResponse::RequestTimeout().force_close().finish();
                return Err(InternalError::from_response("took too long", response).into());
            };
            Ok(response?.map_into_left_body())
        }
        Some(status) => {
            tracing::warn!(
                status = status.as_u16(),
                outcome = "refused",
                "request too large, or an upgrade"
            );
            let mut response =
                pages::problem(request.request(), &pages::bare::explanation(status), None);
            response
                .head_mut()
                .set_connection_type(ConnectionType::Close);
            Ok(request.into_response(response).map_into_right_body())
        }
    }
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

/// Nothing here speaks WebSocket; its body has no end, and a handler would wait
/// for one.
fn upgrades(request: &ServiceRequest) -> bool {
    request.headers().get_all(UPGRADE).any(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"websocket")
    })
}
