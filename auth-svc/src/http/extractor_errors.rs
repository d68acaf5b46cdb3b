//! Errors of the framework's extractors, which are plain text otherwise.

use actix_web::error::{InternalError, JsonPayloadError, PathError};
use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, ResponseError as _, web};

use crate::http::default_errors::{explanation, no_such_address};
use crate::http::problem;
use crate::http::request_limits::MAX_BODY;
use crate::login::next_steps::problem;

/// The settings of JSON bodies.
pub fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(MAX_BODY)
        .error_handler(invalid_body)
}

/// The settings of parameters in paths. A parameter that is not of its type names nothing.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error: PathError, request| {
        let response = no_such_address(request);
        InternalError::from_response(error, response).into()
    })
}

fn invalid_body(error: JsonPayloadError, request: &HttpRequest) -> Error {
    let status = match &error {
        JsonPayloadError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        other => other.status_code(),
    };
    let response = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            problem::json(status, "json_needed", "Send the body as application/json.")
        }
        // The text of the error may quote the body, so it is not logged.
        StatusCode::BAD_REQUEST => problem::json(
            status,
            "invalid_request",
            &format!("The body is not what /openapi.json describes: {error}."),
        ),
        status => problem(request, &explanation(status), None),
    };
    tracing::warn!(
        status = status.as_u16(),
        path = request.path(),
        outcome = "refused",
        "the body of a request is not accepted"
    );
    InternalError::from_response(error, response).into()
}
