//! Pages: sign-in, what will be connected, the account, and what a refusal
//! looks like. No script, no foreign asset; JSON for who asks for it.

mod account;
pub mod assets;
pub mod bare;
mod connections;
mod form;
pub mod icon;
pub mod layout;
mod leaving;
mod members;
mod onwards;
pub mod provider;
mod review;
mod sessions;
mod sign_in;
mod ways;
mod welcome;
mod words;

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use latchkey_service::telemetry;
use serde_json::json;

use crate::http::routes::Routes;
use icon::Icon;
use layout::{Shell, render};
pub use ways::{Way, Ways};

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

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    sign_in::routes(routes);
    review::routes(routes);
    welcome::routes(routes);
    connections::routes(routes);
    sessions::routes(routes);
    members::routes(routes);
    assets::routes(routes);
}

/// True where the client asks for JSON rather than for a page.
pub fn wants_json(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("text/html"))
}

/// Tells a refusal; `again` is where "try again" leads.
pub fn problem(
    request: &HttpRequest,
    explanation: &Explanation,
    again: Option<&str>,
) -> HttpResponse {
    problem_with(request, explanation, &Ways::of_request(request, again))
}

/// Tells a refusal and where a person can go from there.
pub fn problem_with(request: &HttpRequest, explanation: &Explanation, ways: &Ways) -> HttpResponse {
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
            email: ways.email(),
            links: ways.links(explanation),
            trace_id: trace_id.as_deref(),
        },
    )
}

/// Anything else: a wrong redirect URI at the provider lands here, and is told
/// so instead of a silent 404.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let explanation = Explanation {
        status: StatusCode::NOT_FOUND,
        code: "not_found",
        title: "There is nothing here",
        text: if request.path().starts_with("/auth/") {
            "If a provider sent you here, the redirect URI that is registered there is wrong. \
             Your administrator sees the right ones with: auth-svc redirect-uris."
                .to_owned()
        } else {
            "The address is not one of this service.".to_owned()
        },
        next: Next::Home,
    };
    tracing::warn!(
        path = request.path(),
        outcome = "refused",
        error.code = "not_found",
        "no such address"
    );
    problem(&request, &explanation, None)
}
