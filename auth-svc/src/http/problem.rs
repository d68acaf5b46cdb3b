//! A refusal: a page for browsers, JSON for who asks for it.

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
    /// Try the same again.
    Again,
    /// Go to the account.
    Account,
    /// Go to the connections.
    Connections,
    /// Go to the members.
    Members,
}

/// A refusal, told to a person.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code for programs.
    pub code: &'static str,
    /// What happened, in a few words.
    pub title: &'static str,
    /// What happened and what to do.
    pub text: String,
    /// What can be done next.
    pub next: Next,
}

/// A fault of ours.
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
    /// Where it leads.
    pub to: String,
    /// What it says.
    pub label: String,
}

/// A refusal, for who sends `Accept: application/json`.
#[derive(Debug, ToSchema)]
pub struct Problem {
    /// What is refused.
    pub error: ProblemError,
}

/// What is refused, and why.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ProblemError {
    /// Stable code for programs.
    #[schema(example = "flow_unknown")]
    pub code: String,
    /// What happened and what to do, for a person.
    pub message: String,
    /// Number under which the log has more.
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

/// True where the client asks for JSON rather than for a page.
pub fn wants_json(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("text/html"))
}

/// The answer: a page for browsers, JSON for who asks for it. `email` is the
/// address of the person who is signed in all the same.
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
