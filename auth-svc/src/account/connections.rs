//! The page of a person's connected accounts: their state, and how to start, reconnect and
//! disconnect them.

mod view;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::AccountId;
use latchkey_providers::Purpose;

use crate::account::access::{self, refuse_cross_site};
use crate::account::grpc_clients::GrpcClientError;
use crate::http::icon::{self, Icon};
use crate::http::layout::{AccountPage, Layout, page};
use crate::http::problem::{NextStep, Problem, ProblemDetails};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::http::wording;
use crate::login::next_steps::problem;
use crate::login::provider_links::{Button, buttons};
use crate::state::State;
use crate::store::session::Session;
use view::{Card, LIST};

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    shell: Layout,
    done: Option<&'static str>,
    check: Icon,
    alert: Icon,
    unavailable: Option<Unavailable>,
    cards: Vec<Card>,
    providers: Vec<Button>,
}

/// Why the page cannot show accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unavailable {
    NotConfigured,
    NoResponse,
}

impl Unavailable {
    fn title(self) -> &'static str {
        match self {
            Self::NotConfigured => "Your accounts are not shown here",
            Self::NoResponse => "Your accounts cannot be shown right now",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotConfigured => {
                "They are not shown on this page yet; your administrator can turn that on with \
                 SYNC_GRPC_URL. Connected accounts keep working, and you can connect more."
            }
            Self::NoResponse => {
                "The service that lists them does not respond. They keep working. Please try \
                 again in a minute."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "disconnect.html")]
struct DisconnectPage {
    shell: Layout,
    icon: Icon,
    handle: String,
    label: String,
    action: String,
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add_slow(__path_connections, connections);
    routes.add_slow(__path_confirm, confirm);
    routes.add_slow(__path_disconnect, disconnect);
    routes.add_slow(__path_start, start);
}

/// Shows the person's connected accounts.
#[utoipa::path(get, path = "/auth/account/connections", tag = "pages", operation_id = "page_connections", security(("session" = [])), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn connections(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let session = match access::session(&state, &request, AccountPage::Connections).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let (accounts, unavailable) = match state.grpc_clients.accounts_of(&session).await {
        Ok(accounts) => (accounts, None),
        Err(GrpcClientError::NotConfigured) => (Vec::new(), Some(Unavailable::NotConfigured)),
        Err(error) => {
            tracing::error!(%error, "the accounts were not read");
            (Vec::new(), Some(Unavailable::NoResponse))
        }
    };
    let query = Query::parse(request.query_string()).unwrap_or_default();
    let done = match query.get("done") {
        Some("disconnected") => Some(
            "The account is disconnected. The stored access is erased, and nothing more is \
             read.",
        ),
        Some("started") => Some("The sync has started. It continues by itself."),
        _ => None,
    };
    let status = match unavailable {
        Some(Unavailable::NoResponse) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    page(
        status,
        &ConnectionsPage {
            shell: Layout::of(&state, &session, AccountPage::Connections),
            done,
            check: icon::CHECK,
            alert: icon::ALERT,
            unavailable,
            cards: accounts
                .iter()
                .map(|account| Card::of(&state, account))
                .collect(),
            providers: buttons(
                state
                    .providers
                    .iter()
                    .filter(|provider| provider.asks_for_data(Purpose::Connect)),
                &[],
            ),
        },
    )
}

/// Asks the person to confirm before an account is disconnected.
#[utoipa::path(get, path = "/auth/account/connections/{account}/disconnect", tag = "pages", operation_id = "page_disconnect", security(("session" = [])), params(("account" = String, Path, description = "Connected account (UUID)")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 404, description = "The person has no such account", body = Problem),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn confirm(
    state: web::Data<State>,
    id: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let session = match access::session(&state, &request, AccountPage::Connections).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let Ok(id) = id.parse::<AccountId>() else {
        return error_response(&request, &GrpcClientError::NotFound);
    };
    match state.grpc_clients.account_of(&session, id).await {
        Ok(account) => page(
            StatusCode::OK,
            &DisconnectPage {
                shell: Layout::of(&state, &session, AccountPage::Connections),
                icon: icon::of_provider(&account.provider),
                label: view::label(&state, &account.provider),
                handle: wording::address(&account.handle),
                action: format!("{LIST}/{id}/disconnect"),
            },
        ),
        Err(error) => error_response(&request, &error),
    }
}

/// Disconnects an account (R37).
#[utoipa::path(post, path = "/auth/account/connections/{account}/disconnect", tag = "pages", operation_id = "disconnect", security(("session" = [])), params(("account" = String, Path, description = "Connected account (UUID)")), responses(
    (status = 303, description = "Disconnected, to the list"),
    (status = 403, description = "Another web site made the request", body = Problem),
    (status = 404, description = "The person has no such account", body = Problem),
    (status = 501, description = "Not configured", body = Problem),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn disconnect(
    state: web::Data<State>,
    id: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    change(
        &state,
        &request,
        &id,
        "disconnected",
        async |session, id| state.grpc_clients.disconnect(session, id).await,
    )
    .await
}

/// Starts the channels that wait for the person (R24), and restarts failed ones (R28).
#[utoipa::path(post, path = "/auth/account/connections/{account}/start", tag = "pages", operation_id = "start_sync", security(("session" = [])), params(("account" = String, Path, description = "Connected account (UUID)")), responses(
    (status = 303, description = "Started, to the list"),
    (status = 403, description = "Another web site made the request", body = Problem),
    (status = 404, description = "The person has no such account", body = Problem),
    (status = 501, description = "Not configured", body = Problem),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn start(
    state: web::Data<State>,
    id: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    change(&state, &request, &id, "started", async |session, id| {
        state.grpc_clients.start(session, id).await
    })
    .await
}

async fn change(
    state: &State,
    request: &HttpRequest,
    id: &str,
    done: &'static str,
    call: impl AsyncFnOnce(&Session, AccountId) -> Result<(), GrpcClientError>,
) -> HttpResponse {
    if let Some(refusal) = refuse_cross_site(state, request) {
        return refusal;
    }
    let session = match access::session(state, request, AccountPage::Connections).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let Ok(id) = id.parse::<AccountId>() else {
        return error_response(request, &GrpcClientError::NotFound);
    };
    match call(&session, id).await {
        Ok(()) => {
            tracing::info!(account.id = %id, user.id = %session.user, outcome = done, "account changed");
            HttpResponse::SeeOther()
                .insert_header((LOCATION, format!("{LIST}?done={done}")))
                .finish()
        }
        Err(error) => error_response(request, &error),
    }
}

fn error_response(request: &HttpRequest, error: &GrpcClientError) -> HttpResponse {
    let explanation = match error {
        GrpcClientError::NotFound => ProblemDetails {
            status: StatusCode::NOT_FOUND,
            code: "account_unknown",
            title: "You have no such account",
            text: "It was disconnected already, or it belongs to someone else. Nothing was \
                   changed."
                .to_owned(),
            next: NextStep::Connections,
        },
        GrpcClientError::NotConfigured => ProblemDetails {
            status: StatusCode::NOT_IMPLEMENTED,
            code: "connections_not_configured",
            title: "This is not available here",
            text: "Accounts cannot be changed on this page yet. Please ask your administrator. \
                   Nothing was changed."
                .to_owned(),
            next: NextStep::Connections,
        },
        GrpcClientError::Refused(_) => ProblemDetails {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "connections_unavailable",
            title: "This did not work right now",
            text: "The service behind this page does not respond as expected. Please check the \
                   state of your connections, and try again in a minute."
                .to_owned(),
            next: NextStep::Connections,
        },
    };
    tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "account not changed");
    problem(request, &explanation, None)
}
