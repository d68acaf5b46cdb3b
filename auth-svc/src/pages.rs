//! Pages: the home page and what a refusal looks like. No script, no foreign
//! asset; JSON for who asks for it.

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::ProviderName;
use latchkey_service::telemetry;
use serde_json::json;
use url::form_urlencoded;

use crate::app::State;
use crate::http::routes::Routes;
use crate::login::query::Query;
use crate::login::redirect::Site;
use crate::session;

/// What a person can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go to the start page.
    Home,
    /// Try the same again.
    Again,
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
    title: &'a str,
    text: &'a str,
    again: Option<&'a str>,
    trace_id: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    person: Option<Person>,
    app: String,
    providers: Vec<Button>,
}

struct Person {
    email: String,
    workspace: String,
}

struct Button {
    label: String,
    sign_in: String,
    connect: String,
}

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_home, home);
    routes.add(__path_stylesheet, stylesheet);
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
    let trace_id = telemetry::current_trace_id();
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
    // "Try again" by link only where the browser need not carry anything.
    let again = again.filter(|_| explanation.next == Next::Again);
    page(
        &mut response,
        &ProblemPage {
            title: explanation.title,
            text: &explanation.text,
            again,
            trace_id: trace_id.as_deref(),
        },
    )
}

fn page(response: &mut actix_web::HttpResponseBuilder, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => response.content_type("text/html; charset=utf-8").body(html),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Sign-in buttons, or who is signed in.
#[utoipa::path(get, path = "/", tag = "pages",
    responses((status = 200, description = "The start page", content_type = "text/html", body = String)))]
async fn home(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let session = match session::current(&state, &request).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "the session was not looked up");
            None
        }
    };
    let site = session.as_ref().map(Site::from).unwrap_or_default();
    let app = state.config.returns.destination(None, site).to_string();
    let carried = carried(&request);
    let providers = state
        .providers
        .iter()
        .map(|provider| button(provider, &carried))
        .collect();
    page(
        &mut HttpResponse::Ok(),
        &HomePage {
            app,
            providers,
            person: session.map(|session| Person {
                email: session.email,
                workspace: session.workspace_name,
            }),
        },
    )
}

/// What a link to the start page hands on to its sign-in buttons.
const CARRIED: [&str; 6] = [
    "workspaceId",
    "workspaceSubdomain",
    "workspaceInviteHash",
    "workspacePersonalInviteToken",
    "returnTo",
    "locale",
];

/// The query of the sign-in buttons, with its question mark; empty where the
/// link to the start page carries nothing.
fn carried(request: &HttpRequest) -> String {
    let Ok(query) = Query::parse(request.query_string()) else {
        return String::new();
    };
    let mut carried = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    for name in CARRIED {
        if let Some(value) = query.get(name) {
            carried.append_pair(name, value);
        }
    }
    let carried = carried.finish();
    if carried == "?" {
        String::new()
    } else {
        carried
    }
}

fn button(provider: &latchkey_providers::Provider, carried: &str) -> Button {
    let name = provider.name();
    let known = matches!(
        name.as_str(),
        ProviderName::GOOGLE | ProviderName::MICROSOFT
    );
    let (sign_in, connect) = if known {
        (format!("/auth/{name}"), format!("/auth/{name}-apis"))
    } else {
        (
            format!("/auth/oidc/{name}"),
            format!("/auth/oidc-apis/{name}"),
        )
    };
    Button {
        label: provider.label().to_owned(),
        sign_in: sign_in + carried,
        connect,
    }
}

/// The one stylesheet.
#[utoipa::path(get, path = "/assets/latchkey.css", tag = "pages",
    responses((status = 200, description = "The stylesheet", content_type = "text/css", body = String)))]
async fn stylesheet() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header(("Cache-Control", "public, max-age=3600"))
        .body(include_str!("../templates/latchkey.css"))
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
