//! The page on which administrators see the members of a workspace and remove them.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use latchkey_domain::UserId;
use serde::Deserialize;

use crate::account::access::{self, database_unavailable, refuse_cross_site};
use crate::http::icon::{self, Icon};
use crate::http::layout::{AccountPage, Layout, page};
use crate::http::problem::{NextStep, Problem, ProblemDetails};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::http::wording;
use crate::login::next_steps::problem;
use crate::state::State;
use crate::store::audit::Channel;
use crate::store::session::Session;
use crate::store::workspace::member::{self, Member};
use crate::workspace::members::remove_member;
use crate::workspace::removal::{RejoinOption, RemovalError};

/// Path of the list.
const LIST: &str = "/auth/account/members";

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage {
    shell: Layout,
    workspace: String,
    check: Icon,
    alert: Icon,
    removed: bool,
    /// Warnings about how a removed person could join again.
    rejoin_options: Vec<&'static str>,
    members: Vec<Line>,
}

#[derive(Template)]
#[template(path = "remove_member.html")]
struct RemovePage {
    shell: Layout,
    workspace: String,
    email: String,
    since: String,
    action: String,
}

struct Line {
    email: String,
    is_admin: bool,
    is_self: bool,
    joined: &'static str,
    since: String,
    remove: String,
}

impl Line {
    fn of(state: &State, session: &Session, member: Member) -> Self {
        Self {
            is_admin: member.role == "ADMIN",
            is_self: member.user_id == session.user.as_uuid(),
            joined: match member.joined_by.as_str() {
                "APPROVED_DOMAIN" => "by the domain of their mail address",
                "PUBLIC_INVITE" => "by the public invitation link",
                "PERSONAL_INVITE" => "by an invitation",
                _ => "added by the operator",
            },
            since: wording::ago(state.clock.now(), member.joined_at),
            remove: format!("{LIST}/{}/remove", member.user_id),
            email: member.email,
        }
    }
}

/// The fields of the form that removes a member.
#[derive(Debug, Deserialize)]
struct RemovalForm {
    /// `keep` or `disconnect`.
    #[serde(default)]
    connections: String,
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_members, members);
    routes.add(__path_confirm, confirm);
    routes.add(__path_remove, remove);
}

/// Shows the members of the workspace.
#[utoipa::path(get, path = "/auth/account/members", tag = "pages", operation_id = "page_members", security(("session" = [])), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 403, description = "Not an administrator", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn members(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let session = match administrator(&state, &request).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let all = match member::members(&state.pool, session.workspace).await {
        Ok(all) => all,
        Err(error) => return database_unavailable(&request, &error),
    };
    let query = Query::parse(request.query_string()).unwrap_or_default();
    page(
        StatusCode::OK,
        &MembersPage {
            shell: Layout::of(&state, &session, AccountPage::Members),
            workspace: session.workspace_name.clone(),
            check: icon::CHECK,
            alert: icon::ALERT,
            removed: query.get("done") == Some("removed"),
            rejoin_options: query
                .get("back")
                .unwrap_or_default()
                .split('.')
                .filter_map(warning)
                .collect(),
            members: all
                .into_iter()
                .map(|member| Line::of(&state, &session, member))
                .collect(),
        },
    )
}

/// Asks the administrator to confirm before a member is removed.
#[utoipa::path(get, path = "/auth/account/members/{user}/remove", tag = "pages", operation_id = "page_remove_member", security(("session" = [])), params(("user" = String, Path, description = "The person (UUID)")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 403, description = "Not an administrator", body = Problem),
    (status = 404, description = "The person is not a member", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn confirm(
    state: web::Data<State>,
    user: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let session = match administrator(&state, &request).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let all = match member::members(&state.pool, session.workspace).await {
        Ok(all) => all,
        Err(error) => return database_unavailable(&request, &error),
    };
    let found = all
        .into_iter()
        .find(|member| member.user_id.to_string() == *user);
    let Some(member) = found else {
        return error_response(&request, RemovalError::NotAMember);
    };
    page(
        StatusCode::OK,
        &RemovePage {
            shell: Layout::of(&state, &session, AccountPage::Members),
            workspace: session.workspace_name.clone(),
            since: wording::ago(state.clock.now(), member.joined_at),
            action: format!("{LIST}/{}/remove", member.user_id),
            email: member.email,
        },
    )
}

/// Removes a member.
#[utoipa::path(post, path = "/auth/account/members/{user}/remove", tag = "pages", operation_id = "remove_member_by_form", security(("session" = [])), params(("user" = String, Path, description = "The person (UUID)")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "`connections`: `disconnect` or `keep`"), responses(
    (status = 303, description = "Removed, to the list"),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "The person is not a member", body = Problem),
    (status = 409, description = "The person is the last administrator", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn remove(
    state: web::Data<State>,
    user: web::Path<String>,
    request: HttpRequest,
    posted: Result<web::Form<RemovalForm>, actix_web::Error>,
) -> HttpResponse {
    if let Some(refusal) = refuse_cross_site(&state, &request) {
        return refusal;
    }
    let session = match administrator(&state, &request).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let Ok(user) = user.parse::<UserId>() else {
        return error_response(&request, RemovalError::NotAMember);
    };
    // Every value except `keep` disconnects the accounts.
    let keep = posted.is_ok_and(|posted| posted.connections == "keep");
    match remove_member(&state, &session, Channel::Page, user, keep).await {
        Ok(removed) => {
            let back: Vec<&str> = removed
                .rejoin_options
                .iter()
                .map(RejoinOption::code)
                .collect();
            let to = format!("{LIST}?done=removed&back={}", back.join("."));
            HttpResponse::SeeOther()
                .insert_header((LOCATION, to))
                .finish()
        }
        Err(error) => error_response(&request, error),
    }
}

/// Returns the warning for a code that [`remove`] put into the redirect.
fn warning(code: &str) -> Option<&'static str> {
    match code {
        "DOMAIN" => Some(
            "The domain of their address is approved, so they can join again by signing in. \
             Remove the domain to prevent that.",
        ),
        "PUBLIC_LINK" => Some(
            "The public invitation link is on, so everybody who has it can join. Turn it off \
             or replace it to prevent that.",
        ),
        "INVITATION" => Some(
            "An invitation to their address is still pending. Withdraw it to prevent that they \
             use it.",
        ),
        _ => None,
    }
}

async fn administrator(state: &State, request: &HttpRequest) -> Result<Session, HttpResponse> {
    let session = access::session(state, request, AccountPage::Members).await?;
    if session.is_admin {
        return Ok(session);
    }
    let explanation = ProblemDetails {
        status: StatusCode::FORBIDDEN,
        code: "not_admin",
        title: "This page is for administrators",
        text: "Only an administrator of the workspace sees its members and can remove them."
            .to_owned(),
        next: NextStep::Account,
    };
    Err(problem(request, &explanation, None))
}

fn error_response(request: &HttpRequest, error: RemovalError) -> HttpResponse {
    let explanation = match error {
        RemovalError::Database(error) => return database_unavailable(request, &error),
        RemovalError::NotAMember | RemovalError::Several => ProblemDetails {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            title: "This person is not a member",
            text: "They were removed already, or belong to another workspace. Nothing was changed."
                .to_owned(),
            next: NextStep::Members,
        },
        RemovalError::LastAdministrator => ProblemDetails {
            status: StatusCode::CONFLICT,
            code: "last_administrator",
            title: "This is the last administrator",
            text: "Nobody could invite people, approve domains or remove members afterwards. Ask \
                   your operator to make somebody else an administrator first. Nothing was changed."
                .to_owned(),
            next: NextStep::Members,
        },
    };
    tracing::warn!(
        error.code = explanation.code,
        outcome = "refused",
        "member not removed"
    );
    problem(request, &explanation, None)
}
