//! Error responses: a page for browsers, JSON for clients that ask for it.

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use latchkey_service::telemetry;
use serde_json::json;
use utoipa::ToSchema;

use crate::http::icon::{self, Icon};
use crate::http::layout::{Layout, render};

/// What a person can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Go to the sign-in page.
    Home,
    /// Repeat the request.
    Again,
    /// Go to the account page.
    Account,
    /// Go to the page of connections.
    Connections,
    /// Go to the page of members.
    Members,
}

/// An error as a person sees it.
#[derive(Debug, Clone)]
pub struct ProblemDetails {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable error code for programs.
    pub code: &'static str,
    /// What happened, in a few words.
    pub title: &'static str,
    /// What happened and what the person can do.
    pub text: String,
    /// What the person can do next.
    pub next: NextStep,
}

/// Returns the error for an internal failure.
pub fn internal_error(code: &'static str) -> ProblemDetails {
    ProblemDetails {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code,
        title: "Something went wrong on our side",
        text: "Nothing was changed. Please try again. If it happens again, give your \
             administrator the reference below."
            .to_owned(),
        next: NextStep::Again,
    }
}

/// Returns the error for a request that failed because the database did not answer.
pub fn database_unavailable() -> ProblemDetails {
    ProblemDetails {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "This is not available right now",
        ..internal_error("database_unavailable")
    }
}

/// A link of an error page.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// URL of the link.
    pub to: String,
    /// Text of the link.
    pub label: String,
}

/// The body of an error response, for clients that send `Accept: application/json`.
#[derive(Debug, ToSchema)]
pub struct Problem {
    /// The error.
    pub error: ProblemError,
}

/// The error in the body of an error response.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ProblemError {
    /// Stable error code for programs.
    #[schema(example = "flow_unknown")]
    pub code: String,
    /// Explanation for a person: what happened and what to do.
    pub message: String,
    /// Trace id, under which the log has details.
    pub trace_id: Option<String>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    shell: Layout,
    icon: Icon,
    title: &'a str,
    text: &'a str,
    email: Option<&'a str>,
    links: Vec<Link>,
    trace_id: Option<&'a str>,
}

/// Returns `true` for an address of the JSON API, which has no pages: its errors are JSON whatever
/// the client accepts.
pub fn is_json_api(path: &str) -> bool {
    matches!(
        path,
        "/auth/me"
            | "/auth/token"
            | "/auth/sessions"
            | "/openapi.json"
            | "/.well-known/jwks.json"
            | "/.well-known/client-jwks.json"
            | "/healthz"
    ) || path.starts_with("/auth/sessions/")
        || path.starts_with("/auth/workspace/")
}

/// Returns `true` if the client asks for JSON and not for a page.
pub fn wants_json(request: &HttpRequest) -> bool {
    if is_json_api(request.path()) {
        return true;
    }
    request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("text/html"))
}

/// Builds the error response: a page for browsers, JSON for clients that ask for it.
/// `email` is the address of the person if somebody is signed in.
pub fn response(
    request: &HttpRequest,
    explanation: &ProblemDetails,
    email: Option<&str>,
    links: Vec<Link>,
) -> HttpResponse {
    if wants_json(request) {
        let message = format!("{}. {}", explanation.title, explanation.text);
        return json(explanation.status, explanation.code, &message);
    }
    let trace_id = telemetry::current_trace_id().map(|id| id.to_string());
    let mut response = builder(explanation.status);
    render(
        &mut response,
        &ProblemPage {
            shell: Layout::plain(),
            icon: icon::ALERT,
            title: explanation.title,
            text: &explanation.text,
            email,
            links,
            trace_id: trace_id.as_deref(),
        },
    )
}

/// Builds the JSON response that [`Problem`] describes.
pub fn json(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    builder(status).json(json!({
        "error": {
            "code": code,
            "message": message,
            "traceId": telemetry::current_trace_id().map(|id| id.to_string()),
        }
    }))
}

fn builder(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header(("Retry-After", "30"));
    }
    response
}
