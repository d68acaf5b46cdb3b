//! `/verify-domain`: the page that a verification link opens. Opening it changes nothing,
//! because mail scanners open links too; its button verifies the domain.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::domain_for_people;
use serde::Deserialize;

use crate::http::layout::{self, Layout};
use crate::http::problem::{NextStep, Problem, ProblemDetails, database_unavailable};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::http::same_site;
use crate::login::next_steps::problem;
use crate::state::State;
use crate::store::audit::{Action, Actor, Change};
use crate::store::workspace::domain::{self, Proven};

#[derive(Template)]
#[template(path = "verify_domain.html")]
struct Page<'a> {
    shell: Layout,
    title: &'a str,
    text: &'a str,
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct VerificationForm {
    token: String,
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_ask, ask);
    routes.add(__path_confirm, confirm);
}

/// Says what the link does and asks for confirmation.
#[utoipa::path(get, path = "/verify-domain", tag = "workspace", operation_id = "page_verify_domain",
    params(("token" = String, Query, description = "The link's token")), responses(
    (status = 200, description = "A page with a button", content_type = "text/html", body = String),
    (status = 404, description = "The link is unknown, expired or used", body = Problem)))]
async fn ask(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let query = Query::parse(request.query_string()).ok();
    let token = query.as_ref().and_then(|query| query.get("token"));
    let Some(token) = token else {
        return invalid_link(&request);
    };
    match domain::about_token(&state.pool, token).await {
        Ok(Some(Proven {
            domain, workspace, ..
        })) => page(
            "Verify your domain",
            &format!(
                "Everybody with an address at {} will be able to join the workspace \
                 {workspace}.",
                domain_in_both_forms(&domain)
            ),
            Some(token),
        ),
        Ok(None) => invalid_link(&request),
        Err(error) => unavailable(&request, &error),
    }
}

/// Returns a domain in its own script, followed by its ASCII form if that differs, because
/// domains in different scripts may look alike.
fn domain_in_both_forms(domain: &str) -> String {
    let people = domain_for_people(domain);
    if people == domain {
        people
    } else {
        format!("{people} ({domain})")
    }
}

/// Uses the link to verify the domain.
#[utoipa::path(post, path = "/verify-domain", tag = "workspace", operation_id = "verify_domain_by_link",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "`token`"), responses(
    (status = 200, description = "The domain is verified", content_type = "text/html", body = String),
    (status = 403, description = "Another web site made the request", body = Problem),
    (status = 404, description = "The link is unknown, expired or used", body = Problem)))]
async fn confirm(
    state: web::Data<State>,
    request: HttpRequest,
    posted: Result<web::Form<VerificationForm>, actix_web::Error>,
) -> HttpResponse {
    if let Err(refusal) = same_site::check_deployment(&request, &state.config.returns) {
        return problem(&request, &refusal.into(), None);
    }
    let Ok(posted) = posted else {
        return invalid_link(&request);
    };
    match prove(&state, &posted.token).await {
        Ok(Some(Proven {
            domain, workspace, ..
        })) => {
            tracing::info!(%domain, outcome = "verified", "a domain was verified by a link");
            page(
                "Your domain is verified",
                &format!(
                    "Everybody with an address at {} can join the workspace {workspace} now.",
                    domain_in_both_forms(&domain)
                ),
                None,
            )
        }
        Ok(None) => invalid_link(&request),
        Err(error) => unavailable(&request, &error),
    }
}

async fn prove(state: &State, token: &str) -> Result<Option<Proven>, sqlx::Error> {
    let mut change = Change::begin(&state.pool, Actor::Link).await?;
    let proven = domain::prove_by_token(change.connection(), token).await?;
    if let Some(proven) = &proven {
        let workspace = proven.workspace_id.into();
        change
            .commit(workspace, Action::DomainVerified, &proven.domain)
            .await?;
    }
    Ok(proven)
}

fn page(title: &str, text: &str, token: Option<&str>) -> HttpResponse {
    layout::page(
        StatusCode::OK,
        &Page {
            shell: Layout::plain(),
            title,
            text,
            token,
        },
    )
}

fn invalid_link(request: &HttpRequest) -> HttpResponse {
    let explanation = ProblemDetails {
        status: StatusCode::NOT_FOUND,
        code: "verification_link_dead",
        title: "This link does not work any more",
        text: "It was used, is older than a day, or was replaced by a newer one. Please ask \
               the person who sent it for a new one."
            .to_owned(),
        next: NextStep::Home,
    };
    problem(request, &explanation, None)
}

fn unavailable(request: &HttpRequest, error: &sqlx::Error) -> HttpResponse {
    tracing::error!(%error, "a verification link was not looked up");
    problem(request, &database_unavailable(), None)
}
