//! The overview page of a person who is signed in.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::account::grpc_clients::GrpcClientError;
use crate::http::icon::{self, Icon};
use crate::http::layout::{AccountPage, Layout, page};
use crate::http::router::Routes;
use crate::http::wording;
use crate::login::sign_in_link::to_sign_in;
use crate::session::lookup;
use crate::state::State;
use crate::store::session::Session;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Layout,
    connections: &'static str,
    attention: Option<&'static str>,
    connections_icon: Icon,
    sessions_icon: Icon,
}

/// Registers the route.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_overview, overview);
}

/// Shows who is signed in.
#[utoipa::path(get, path = "/auth/account", tag = "pages", operation_id = "page_account", security(("session" = [])), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in")))]
async fn overview(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match lookup::current_if_known(&state, &request).await {
        Some(session) => page_of(&state, &session).await,
        None => to_sign_in(&state, AccountPage::Overview),
    }
}

/// Renders the page for a session.
pub async fn page_of(state: &State, session: &Session) -> HttpResponse {
    let (connections, attention) = match state.grpc_clients.accounts_of(session).await {
        Ok(accounts) => {
            let attention = accounts.iter().any(wording::needs_the_person);
            let waiting = accounts
                .iter()
                .any(|account| account.channels.iter().any(wording::waits));
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
            if !matches!(error, GrpcClientError::NotConfigured) {
                tracing::warn!(%error, "the accounts were not read");
            }
            ("Your mail and calendar accounts, and their state.", None)
        }
    };
    page(
        StatusCode::OK,
        &OverviewPage {
            shell: Layout::of(state, session, AccountPage::Overview),
            connections,
            attention,
            connections_icon: icon::MAIL,
            sessions_icon: icon::DEVICE,
        },
    )
}
