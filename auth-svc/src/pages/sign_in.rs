//! The sign-in page, and the overview of who is signed in.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::icon::{self, Icon};
use super::layout::{Place, Shell, page};
use super::provider::{Button, buttons, carried, link};
use super::words;
use crate::app::State;
use crate::http::routes::Routes;
use crate::login::domain_policy::Invitation;
use crate::login::flow::Context;
use crate::login::parameters::context_of;
use crate::login::query::Query;
use crate::neighbours::NeighbourError;
use crate::session;
use crate::store::session::Session;
use crate::store::workspace::{self, Described};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    workspace: Option<String>,
    invitation: Option<Notice>,
    invited: bool,
    connects: bool,
    providers: Vec<Button>,
}

struct Notice {
    bad: bool,
    icon: Icon,
    text: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    connections: &'static str,
    attention: Option<&'static str>,
    connections_icon: Icon,
    sessions_icon: Icon,
}

/// Adds the routes.
pub(super) fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_home, home);
    routes.add(__path_sign_in, sign_in);
    routes.add(__path_overview, overview);
}

/// The start page: how to sign in, or who is.
#[utoipa::path(get, path = "/", tag = "pages", operation_id = "page_home",
    responses((status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn home(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    door(&state, &request).await
}

/// The same where `/` is the app's.
#[utoipa::path(get, path = "/auth/sign-in", tag = "pages", operation_id = "page_sign_in", responses(
    (status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn sign_in(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    door(&state, &request).await
}

async fn door(state: &State, request: &HttpRequest) -> HttpResponse {
    let context = Query::parse(request.query_string())
        .ok()
        .and_then(|query| context_of(&query, &state.config.returns).ok())
        .unwrap_or_default();
    // Whoever follows an invitation wants in, signed in elsewhere or not.
    let invited = context.public_invite.is_some() || context.personal_invite.is_some();
    if !invited && let Some(session) = known(state, request).await {
        return overview_of(state, &session).await;
    }
    let described = match workspace::describe(&state.pool, &context).await {
        Ok(described) => described,
        Err(error) => {
            // The buttons are worth showing without the name.
            tracing::warn!(%error, "the workspace was not looked up");
            Described::default()
        }
    };
    let providers = buttons(state.providers.iter(), &carried(request));
    page(
        StatusCode::OK,
        &SignInPage {
            shell: Shell::plain(),
            invited: described.invitation == Invitation::Usable,
            invitation: notice(&described, &context),
            workspace: described.workspace,
            connects: providers.iter().any(|provider| provider.connects),
            providers,
        },
    )
}

/// Who is signed in.
#[utoipa::path(get, path = "/auth/account", tag = "pages", operation_id = "page_account", responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page where nobody is signed in")))]
async fn overview(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match known(&state, &request).await {
        Some(session) => overview_of(&state, &session).await,
        None => to_sign_in(&state, Place::Overview),
    }
}

async fn overview_of(state: &State, session: &Session) -> HttpResponse {
    let (connections, attention) = match state.neighbours.accounts_of(session).await {
        Ok(accounts) => {
            let attention = accounts.iter().any(words::needs_the_person);
            let waiting = accounts
                .iter()
                .any(|account| account.channels.iter().any(words::waits));
            (
                match accounts.len() {
                    0 => "No account is connected yet.",
                    1 => "One account is connected.",
                    _ => "Several accounts are connected.",
                },
                if attention {
                    Some("Needs your attention")
                } else if waiting {
                    Some("Ready to start")
                } else {
                    None
                },
            )
        }
        Err(error) => {
            if !matches!(error, NeighbourError::NotConfigured) {
                tracing::warn!(%error, "the accounts were not read");
            }
            ("Mail and calendar accounts, and how they are doing.", None)
        }
    };
    page(
        StatusCode::OK,
        &OverviewPage {
            shell: Shell::of(state, session, Place::Overview),
            connections,
            attention,
            connections_icon: icon::MAIL,
            sessions_icon: icon::DEVICE,
        },
    )
}

/// The session; none where the database is away.
async fn known(state: &State, request: &HttpRequest) -> Option<Session> {
    match session::current(state, request).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "the session was not looked up");
            None
        }
    }
}

/// To the sign-in page, and back from there.
pub fn to_sign_in(state: &State, place: Place) -> HttpResponse {
    let back = address(state, place);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link("/auth/sign-in", &[("returnTo", back)])))
        .finish()
}

/// Address of an account page, whole: a path alone would be the app's.
pub fn address(state: &State, place: Place) -> String {
    format!("{}{}", state.config.public_origin, place.path())
}

fn notice(described: &Described, context: &Context) -> Option<Notice> {
    let bad = |text: &str| {
        Some(Notice {
            bad: true,
            icon: icon::ALERT,
            text: text.to_owned(),
        })
    };
    match described.invitation {
        Invitation::Absent if described.workspace.is_none() => {
            let named = context.workspace.is_some() || context.subdomain.is_some();
            if named {
                bad("There is no workspace at this address. Please check the link.")
            } else {
                None
            }
        }
        Invitation::Absent => None,
        Invitation::Usable => described.invited.as_ref().map(|email| Notice {
            bad: false,
            icon: icon::MAIL,
            text: format!(
                "Your invitation is for {}. Choose that account.",
                words::address(email)
            ),
        }),
        Invitation::Expired => bad("This invitation has expired. Please ask for a new one."),
        Invitation::Used => bad(
            "This invitation was used already. If it was you, just sign in; otherwise ask for a \
             new one.",
        ),
        Invitation::SwitchedOff | Invitation::Revoked | Invitation::ForSomeoneElse => {
            bad("This invitation link does not work any more. Please ask for a new one.")
        }
    }
}
