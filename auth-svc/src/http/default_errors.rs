//! Pages for errors that have no body, such as those of the HTTP framework.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};

use crate::http::problem::{NextStep, ProblemDetails, is_json_api};
use crate::login::next_steps::problem;

/// Middleware that adds a page to error responses without a body.
///
/// # Errors
/// Returns the error of the handler.
pub async fn describe_empty_errors<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let empty = matches!(
        response.response().body().size(),
        BodySize::None | BodySize::Sized(0)
    );
    if !is_error || !empty || response.request().method() == Method::HEAD {
        return Ok(response);
    }
    let page = problem(response.request(), &explanation(status), None);
    let (request, old) = response.into_parts();
    let mut page = page;
    for (name, value) in old.headers() {
        if !page.headers().contains_key(name) {
            page.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(ServiceResponse::new(request, page))
}

/// Returns the explanation of a status that no handler explains.
pub fn explanation(status: StatusCode) -> ProblemDetails {
    let (code, title, text) = match status {
        StatusCode::METHOD_NOT_ALLOWED => (
            "method_not_allowed",
            "This address cannot be opened this way",
            "Please start from the page that led you here.",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "too_many_requests",
            "Please wait a minute",
            "Too many requests came from your network in a short time. Please try again in a \
             minute.",
        ),
        StatusCode::REQUEST_TIMEOUT => (
            "request_timeout",
            "This took too long",
            "Your connection may be slow, or another service does not respond. Please try \
             again in a minute.",
        ),
        StatusCode::URI_TOO_LONG
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "request_too_large",
            "The request is too large",
            "The link, or the data that your browser sent, is too large for this service. \
             Please start from the sign-in page. If it happens again, delete the cookies of \
             this site.",
        ),
        status if status.is_server_error() => (
            "internal",
            "Something went wrong on our side",
            "Please try again in a minute. If it happens again, give your administrator the \
             reference below.",
        ),
        _ => (
            "bad_request",
            "This link does not work",
            "Something in the address is wrong. Please start from the sign-in page.",
        ),
    };
    ProblemDetails {
        status,
        code,
        title,
        text: text.to_owned(),
        next: NextStep::Home,
    }
}

/// Answers 405 to a method that the path does not have (RFC 9110 section 15.5.6). `allow` lists
/// those that it has.
pub fn method_not_allowed(request: &HttpRequest, allow: &str) -> HttpResponse {
    tracing::warn!(
        method = request.method().as_str(),
        path = request.path(),
        outcome = "refused",
        error.code = "method_not_allowed",
        "no such method"
    );
    let explanation = explanation(StatusCode::METHOD_NOT_ALLOWED);
    let mut response = problem(request, &explanation, None);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Answers 404 to unknown paths.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    no_such_address(&request)
}

/// Builds the response 404. A provider with a wrong redirect URI sends people here, so the page
/// says how to correct it.
pub fn no_such_address(request: &HttpRequest) -> HttpResponse {
    let explanation = ProblemDetails {
        status: StatusCode::NOT_FOUND,
        code: "not_found",
        title: "This page does not exist",
        text: if is_json_api(request.path()) {
            "/openapi.json describes the addresses of this service.".to_owned()
        } else if request.path().starts_with("/auth/") {
            "If a provider sent you here, its registered redirect URI is wrong. Your \
             administrator can print the right ones with: latchkey redirect-uris."
                .to_owned()
        } else {
            "This service has no page at this address. Please check the link.".to_owned()
        },
        next: NextStep::Home,
    };
    tracing::warn!(
        path = request.path(),
        outcome = "refused",
        error.code = "not_found",
        "no such address"
    );
    problem(request, &explanation, None)
}
