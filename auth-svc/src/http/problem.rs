//! Error responses: a page for browsers, JSON for clients that ask for it.

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use latchkey_service::telemetry;
use serde_json::json;
use utoipa::ToSchema;

use crate::http::icon::{self, Icon};
use crate::http::layout::{Shell, render};

/// What a person can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go to the sign-in page.
    Home,
    /// Repeat the request.
    Again,
    /// Go to the account.
    Account,
    /// Go to the connections.
    Connections,
    /// Go to the members.
    Members,
}

/// An error as a person sees it.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code for programs.
    pub code: &'static str,
    /// Title: the event in a few words.
    pub title: &'static str,
    /// Explanation of the event and of what to do.
    pub text: String,
    /// What the person can do next.
    pub next: Next,
}

/// Returns the error for an internal failure.
pub fn broken(code: &'static str) -> Explanation {
    Explanation {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code,
        title: "Something went wrong on our side",
        text: "Nothing was changed. Please try again. If it happens again, give your \
             administrator the reference below."
            .to_owned(),
        next: Next::Again,
    }
}

/// A link of an error page.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
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
    /// Stable code for programs.
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
    shell: Shell,
    icon: Icon,
    title: &'a str,
    text: &'a str,
    email: Option<&'a str>,
    links: Vec<Way>,
    trace_id: Option<&'a str>,
}

/// Returns `true` if the client asks for JSON and not for a page.
pub fn wants_json(request: &HttpRequest) -> bool {
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
    explanation: &Explanation,
    email: Option<&str>,
    links: Vec<Way>,
) -> HttpResponse {
    let trace_id = telemetry::current_trace_id().map(|id| id.to_string());
    let mut response = HttpResponse::build(explanation.status);
    if explanation.status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header(("Retry-After", "30"));
    }
    if wants_json(request) {
        return response.json(json!({
            "error": {
                "code": explanation.code,
                "message": format!("{}. {}", explanation.title, explanation.text),
                "traceId": trace_id,
            }
        }));
    }
    render(
        &mut response,
        &ProblemPage {
            shell: Shell::plain(),
            icon: icon::ALERT,
            title: explanation.title,
            text: &explanation.text,
            email,
            links,
            trace_id: trace_id.as_deref(),
        },
    )
}
