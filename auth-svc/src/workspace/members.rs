//! The administrators' API for members.

use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::state::State;
use crate::store::audit::{Action, Change, Channel};
use crate::store::session::Session;
use crate::store::workspace::member::{self, Member};
use crate::workspace::admin::{AdminError, admin};
use crate::workspace::domain_verification::rfc3339;
use crate::workspace::removal::{self, Removal, RemovalError, Removed, RemovedMember};

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_list, list);
    routes.add(__path_remove, remove);
}

/// Whether the person's accounts stay connected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Choice {
    #[serde(default)]
    keep_connections: bool,
}

/// The members of a workspace.
#[derive(Serialize, ToSchema)]
struct Members {
    /// In the order in which they joined.
    members: Vec<ListedMember>,
}

/// A member of a workspace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
struct ListedMember {
    /// The person.
    user_id: Uuid,
    /// Mail address: a label, not an identifier.
    email: String,
    /// Role in the workspace: `ADMIN` or `MEMBER`.
    #[schema(pattern = "^(ADMIN|MEMBER)$")]
    role: String,
    /// How they joined: `APPROVED_DOMAIN`, `PUBLIC_INVITE`, `PERSONAL_INVITE`, or another word if
    /// the operator added them.
    joined_by: String,
    /// When they joined.
    #[schema(value_type = String, format = DateTime)]
    joined_at: String,
}

impl From<Member> for ListedMember {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user_id,
            email: member.email,
            role: member.role,
            joined_by: member.joined_by,
            joined_at: rfc3339(member.joined_at),
        }
    }
}

/// Lists the workspace's members in the order in which they joined.
#[utoipa::path(get, path = "/auth/workspace/members", tag = "workspace", operation_id = "list_members", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "Members with their roles", body = Members),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator", body = Problem)))]
async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, false).await?;
    let members = member::members(&state.pool, session.workspace).await?;
    Ok(HttpResponse::Ok().json(Members {
        members: members.into_iter().map(ListedMember::from).collect(),
    }))
}

/// Removes a member: ends their sessions in this workspace and disconnects the accounts
/// that they connected there. The response says how the person could join again.
#[utoipa::path(delete, path = "/auth/workspace/members/{user}", tag = "workspace", operation_id = "remove_member", security(("session" = []), ("bearer" = [])),
    params(
        ("user" = Uuid, Path, description = "The person (UUID)"),
        ("keepConnections" = Option<bool>, Query, description = "Keeps the person's accounts connected")),
    responses(
    (status = 200, description = "Removed; how the person could join again", body = RemovedMember),
    (status = 400, description = "`keepConnections` is neither `true` nor `false`", body = Problem),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "The person is not a member", body = Problem),
    (status = 409, description = "The person is the last administrator", body = Problem)))]
async fn remove(
    state: web::Data<State>,
    request: HttpRequest,
    user: web::Path<String>,
    choice: Result<web::Query<Choice>, actix_web::Error>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let choice = choice
        .map_err(|_| AdminError::Invalid("keepConnections must be true or false.".to_owned()))?;
    let user: UserId = user.parse().map_err(|_| RemovalError::NotAMember)?;
    let keep = choice.keep_connections;
    let removed = remove_member(&state, &session, Channel::Http, user, keep).await?;
    Ok(HttpResponse::Ok().json(removed.json(keep)))
}

/// Removes a person from the administrator's workspace. The last administrator cannot be
/// removed here; only the operator's command can force that.
///
/// # Errors
/// Returns [`RemovalError`].
pub(crate) async fn remove_member(
    state: &State,
    administrator: &Session,
    channel: Channel,
    user: UserId,
    keep_connections: bool,
) -> Result<Removed, RemovalError> {
    let removal = Removal {
        workspace: administrator.workspace,
        who: &user.to_string(),
        keep_connections,
        force: false,
    };
    let mut change = Change::begin(&state.pool, administrator.actor(channel)).await?;
    let deployment = state.deployment_policy();
    let removed = removal::remove(change.connection(), removal, deployment).await?;
    change
        .commit(
            administrator.workspace,
            Action::MemberRemoved,
            &removed.target(keep_connections),
        )
        .await?;
    state.outbox.wake();
    tracing::info!(
        user.id = %removed.user,
        workspace.id = %administrator.workspace,
        sessions = removed.sessions,
        outcome = "removed",
        "a member was removed"
    );
    Ok(removed)
}
