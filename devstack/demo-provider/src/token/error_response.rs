//! Error responses of the token endpoint, in the form of each flavour.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

use crate::Flavour;

/// An error response of the token endpoint.
pub(super) struct ErrorResponse {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    /// Number of Microsoft's AADSTS code.
    number: u32,
}

pub(super) const fn bad_request(
    error: &'static str,
    description: &'static str,
    number: u32,
) -> ErrorResponse {
    ErrorResponse {
        status: StatusCode::BAD_REQUEST,
        error,
        description,
        number,
    }
}

pub(super) const CLIENT: ErrorResponse = ErrorResponse {
    status: StatusCode::UNAUTHORIZED,
    error: "invalid_client",
    description: "Invalid client secret provided.",
    number: 7_000_215,
};
pub(super) const GRANT: ErrorResponse =
    bad_request("invalid_grant", "Token has been expired or revoked.", 50173);
pub(super) const CODE: ErrorResponse = bad_request(
    "invalid_grant",
    "The code is unknown, used or expired.",
    54005,
);
pub(super) const PKCE: ErrorResponse = bad_request(
    "invalid_grant",
    "The code verifier does not match.",
    501_481,
);
pub(super) const REDIRECT: ErrorResponse =
    bad_request("invalid_grant", "The redirect_uri does not match.", 50011);
pub(super) const TYPE: ErrorResponse = bad_request(
    "unsupported_grant_type",
    "This grant type is not supported.",
    70003,
);
pub(super) const REQUEST: ErrorResponse =
    bad_request("invalid_request", "A parameter is missing.", 900_144);

impl ErrorResponse {
    pub(super) fn is_of_the_grant(&self) -> bool {
        self.error == GRANT.error
    }

    pub(super) fn to_response(&self, flavour: Flavour) -> HttpResponse {
        let mut body = json!({"error": self.error, "error_description": self.description});
        if flavour == Flavour::Microsoft {
            let trace = "00000000-0000-4000-8000-000000000000";
            body["error_description"] = json!(format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {trace} Timestamp: 2026-11-24 07:00:00Z",
                self.number, self.description
            ));
            body["error_codes"] = json!([self.number]);
            body["trace_id"] = json!(trace);
            body["correlation_id"] = json!(trace);
        }
        HttpResponse::build(self.status).json(body)
    }
}
