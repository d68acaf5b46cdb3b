//! What will be connected, said before the provider asks (R6, R16), with the
//! choices that travel through the flow.

use actix_web::http::StatusCode;
use actix_web::http::header::REFRESH;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::ProviderName;
use latchkey_providers::{Access, Provider, Purpose};

use super::icon::{self, Icon};
use super::layout::{Place, Shell, page, render};
use super::provider::{carried, link, start_path};
use super::sign_in::{address, to_sign_in};
use super::words::{self, Permission};
use super::{Explanation, not_found, problem};
use crate::app::State;
use crate::http::description::Problem;
use crate::http::routes::Routes;
use crate::login::authorize::{Start, StartError};
use crate::login::flow::{CalendarVisibility, MessageVisibility};
use crate::login::parameters::context_of;
use crate::login::query::Query;
use crate::session;

#[derive(Template)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one part of the page, there or not"
)]
#[template(path = "review.html")]
struct ReviewPage {
    shell: Shell,
    mail_icon: Icon,
    calendar_icon: Icon,
    person_icon: Icon,
    shield_icon: Icon,
    label: String,
    connect: bool,
    permissions: Vec<Permission>,
    by_domain: bool,
    scopes: Vec<String>,
    action: String,
    hidden: Vec<(String, String)>,
    mail: bool,
    calendar: bool,
    message_visibility: &'static str,
    calendar_visibility: &'static str,
    back: &'static str,
}

#[derive(Template)]
#[template(path = "leaving.html")]
struct LeavingPage {
    shell: Shell,
    label: String,
    to: String,
}

/// The provider of the path and what the person comes for.
fn asked(state: &State, request: &HttpRequest, name: &str) -> Option<(ProviderName, Start)> {
    let name: ProviderName = name.parse().ok()?;
    state.providers.get(&name)?;
    let connect = Query::parse(request.query_string())
        .is_ok_and(|query| query.get("purpose") == Some("connect"));
    Some((
        name,
        if connect {
            Start::Connect
        } else {
            Start::SignIn
        },
    ))
}

/// Adds the routes.
pub(super) fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_review, review);
    routes.add(__path_go_on, go_on);
}

/// What will be connected.
#[utoipa::path(get, path = "/auth/review/{provider}", tag = "pages", operation_id = "page_review", params(("provider" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 400, description = "A parameter is not taken", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem)))]
async fn review(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let Some((name, start)) = asked(&state, &request, &name) else {
        return not_found(request).await;
    };
    let Some(provider) = state.providers.get(&name) else {
        return not_found(request).await;
    };
    let shell = match start {
        Start::SignIn => Shell::plain(),
        Start::Connect => match session::current(&state, &request).await {
            Ok(Some(session)) => Shell::of(&state, &session, Place::Connections),
            Ok(None) => return to_sign_in(&state, Place::Connections),
            Err(error) => return refused(&request, &StartError::Database(error)),
        },
    };
    let context = match Query::parse(request.query_string())
        .map_err(StartError::from)
        .and_then(|query| context_of(&query, &state.config.returns).map_err(StartError::from))
    {
        Ok(context) => context,
        Err(error) => return refused(&request, &error),
    };
    let connect = start == Start::Connect;
    let scopes = provider.wanted_scopes(purpose(start));
    let data = provider.asks_for_data(purpose(start));
    let access = provider.access(&scopes);
    let mail = data && access.messages != Access::NotWanted;
    let calendar = data && access.calendar != Access::NotWanted;
    let mut hidden = carried(&request);
    hidden.retain(|(name, _)| name != "messageVisibility" && name != "calendarVisibility");
    if connect {
        hidden.push(("purpose".to_owned(), "connect".to_owned()));
        if context.return_to.is_none() {
            let back = address(&state, Place::Connections);
            hidden.push(("returnTo".to_owned(), back));
        }
    }
    page(
        StatusCode::OK,
        &ReviewPage {
            shell,
            mail_icon: icon::MAIL,
            calendar_icon: icon::CALENDAR,
            person_icon: icon::PERSON,
            shield_icon: icon::SHIELD,
            label: provider.label().to_owned(),
            connect,
            permissions: words::permissions(&scopes, mail, calendar),
            by_domain: data && !connect && !connects_everybody(&provider),
            scopes: scopes.iter().map(str::to_owned).collect(),
            action: format!("/auth/review/{name}/continue"),
            hidden,
            mail,
            calendar,
            message_visibility: match context.message_visibility {
                Some(MessageVisibility::Metadata) => "METADATA",
                Some(MessageVisibility::Subject) => "SUBJECT",
                Some(MessageVisibility::ShareEverything) | None => "SHARE_EVERYTHING",
            },
            calendar_visibility: match context.calendar_visibility {
                Some(CalendarVisibility::Metadata) => "METADATA",
                Some(CalendarVisibility::ShareEverything) | None => "SHARE_EVERYTHING",
            },
            back: if connect {
                "/auth/account/connections"
            } else {
                "/auth/sign-in"
            },
        },
    )
}

/// On to the provider.
///
/// Not by a redirect: browsers hold a form's redirects, also those at the
/// provider and beyond, against `form-action 'self'`.
#[utoipa::path(get, path = "/auth/review/{provider}/continue", tag = "pages", operation_id = "page_leave", params(("provider" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 404, description = "The provider is not configured", body = Problem)))]
async fn go_on(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let Some((name, start)) = asked(&state, &request, &name) else {
        return not_found(request).await;
    };
    let label = state
        .providers
        .get(&name)
        .map_or_else(|| name.to_string(), |provider| provider.label().to_owned());
    let to = link(&start_path(&name, start), &carried(&request));
    render(
        HttpResponse::Ok().insert_header((REFRESH, format!("0; url={to}"))),
        &LeavingPage {
            shell: Shell::plain(),
            label,
            to,
        },
    )
}

const fn purpose(start: Start) -> Purpose {
    match start {
        Start::SignIn => Purpose::SignIn,
        Start::Connect => Purpose::Connect,
    }
}

/// True where the connection does not depend on the person's domain (R13).
fn connects_everybody(provider: &Provider) -> bool {
    // A domain that nobody can have is connected only where all are.
    provider.auto_connect("nobody.invalid")
}

fn refused(request: &HttpRequest, error: &StartError) -> HttpResponse {
    let explanation = Explanation::from(error);
    tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "no review");
    problem(request, &explanation, None)
}
