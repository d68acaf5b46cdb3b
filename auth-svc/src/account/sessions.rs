//! The page on which a person sees and ends their own sessions (R14).

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::SessionId;

use crate::account::access::{self, database_unavailable, refuse_cross_site};
use crate::http::icon::{self, Icon};
use crate::http::layout::{AccountPage, Layout, page};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::http::wording;
use crate::state::State;
use crate::store::session::list::{self, End, Listed, Reach};

/// Path of the list.
const LIST: &str = "/auth/account/sessions";

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Layout,
    done: Option<&'static str>,
    check: Icon,
    device: Icon,
    here: Option<Line>,
    others: Vec<Line>,
}

struct Line {
    browser: String,
    workspace: String,
    began: String,
    seen: String,
    end: String,
}

impl Line {
    fn of(state: &State, session: Listed) -> Self {
        let now = state.clock.now();
        Self {
            began: wording::ago(now, session.created_at),
            seen: wording::ago(now, session.last_seen_at),
            end: format!("{LIST}/{}/end", session.id),
            browser: session
                .user_agent
                .unwrap_or_else(|| "Unknown browser".to_owned()),
            workspace: session.workspace_name,
        }
    }
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_sessions, sessions);
    routes.add(__path_end, end);
}

/// Shows the person's own sessions.
#[utoipa::path(get, path = "/auth/account/sessions", tag = "pages", operation_id = "page_sessions", security(("session" = [])), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn sessions(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let session = match access::session(&state, &request, AccountPage::Sessions).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let all = match list::of(&state.pool, session.user, Reach::Everywhere).await {
        Ok(all) => all,
        Err(error) => return database_unavailable(&request, &error),
    };
    let (here, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| one.id == session.id.as_uuid());
    let query = Query::parse(request.query_string()).unwrap_or_default();
    page(
        StatusCode::OK,
        &SessionsPage {
            shell: Layout::of(&state, &session, AccountPage::Sessions),
            done: (query.get("done") == Some("ended"))
                .then_some("The session has ended. That browser has to sign in again."),
            check: icon::CHECK,
            device: icon::DEVICE,
            here: here.into_iter().next().map(|one| Line::of(&state, one)),
            others: others
                .into_iter()
                .map(|one| Line::of(&state, one))
                .collect(),
        },
    )
}

/// Ends one of the person's sessions.
#[utoipa::path(post, path = "/auth/account/sessions/{session}/end", tag = "pages", operation_id = "end_session_by_form", security(("session" = [])), params(("session" = String, Path, description = "Session (UUID)")), responses(
    (status = 303, description = "Ended, to the list"),
    (status = 403, description = "Another web site made the request", body = Problem),
    (status = 503, description = "The database or a service is not available", body = Problem)))]
async fn end(state: web::Data<State>, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    if let Some(refusal) = refuse_cross_site(&state, &request) {
        return refusal;
    }
    let session = match access::session(&state, &request, AccountPage::Sessions).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    // An invalid id, or a session that has ended or belongs to somebody else, is no error:
    // it is not in the list that follows.
    if let Ok(id) = id.parse::<SessionId>() {
        match list::end(
            &state.pool,
            session.user,
            Reach::Everywhere,
            id,
            End::Elsewhere,
        )
        .await
        {
            Ok(ended) => {
                tracing::info!(session.id = %id, user.id = %session.user, ended, "session ended by its owner");
            }
            Err(error) => return database_unavailable(&request, &error),
        }
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("{LIST}?done=ended")))
        .finish()
}
