//! The administrators' API for personal invitations and the public invitation link.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::Handle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::state::State;
use crate::store::audit::{Action, Change, Channel};
use crate::store::workspace::invite::{self, Invited, set_public_invite};
use crate::workspace::admin::{AdminError, admin};
use crate::workspace::domain_verification::rfc3339;

/// How long an invitation is valid.
const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_list, list);
    routes.add(__path_make, make);
    routes.add(__path_revoke, revoke);
    routes.add(__path_public, public);
}

/// An invitation to create.
#[derive(Debug, Deserialize, ToSchema)]
struct NewInvitation {
    /// Mail address that the person signs in with.
    email: String,
}

/// The new state of the public invitation link.
#[derive(Debug, Deserialize, ToSchema)]
struct Switch {
    /// `true` creates a new link, and the previous one stops working.
    enabled: bool,
}

/// The personal invitations of a workspace.
#[derive(Serialize, ToSchema)]
struct Invitations {
    /// The newest first, without their links.
    invitations: Vec<Invitation>,
}

/// A personal invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Invitation {
    /// Id, which names the invitation when it is withdrawn.
    id: Uuid,
    /// Address of the invited person.
    email: String,
    /// What became of it: `PENDING`, `USED`, `REVOKED` or `EXPIRED`.
    #[schema(pattern = "^(PENDING|USED|REVOKED|EXPIRED)$")]
    status: String,
    /// When it expires.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

impl From<Invited> for Invitation {
    fn from(invited: Invited) -> Self {
        Self {
            id: invited.id,
            email: invited.email,
            status: invited.status,
            expires_at: rfc3339(invited.expires_at),
        }
    }
}

/// A new personal invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InvitationLink {
    /// Id, which names the invitation when it is withdrawn.
    id: Uuid,
    /// Address of the invited person.
    email: String,
    /// The link to send to the person. It cannot be read again.
    link: String,
    /// When it expires.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

/// The public invitation link.
#[derive(Serialize, ToSchema)]
struct PublicLink {
    /// Whether the link is on.
    enabled: bool,
    /// The new link, which cannot be read again; null if it is off.
    link: Option<String>,
}

/// Lists the workspace's personal invitations, without their links.
#[utoipa::path(get, path = "/auth/workspace/invitations", tag = "workspace", operation_id = "list_invitations", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "The newest first", body = Invitations),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator", body = Problem)))]
async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, false).await?;
    let invitations = invite::invitations(&state.pool, session.workspace).await?;
    Ok(HttpResponse::Ok().json(Invitations {
        invitations: invitations.into_iter().map(Invitation::from).collect(),
    }))
}

/// Creates a personal invitation. Only this response contains its link.
#[utoipa::path(post, path = "/auth/workspace/invitations", tag = "workspace", operation_id = "make_invitation", security(("session" = []), ("bearer" = [])),
    request_body = NewInvitation, responses(
    (status = 201, description = "The link to send to the person", body = InvitationLink),
    (status = 400, description = "Not a mail address", body = Problem),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, another web site made the request, or the deployment does not allow the domain", body = Problem)))]
async fn make(
    state: web::Data<State>,
    request: HttpRequest,
    new: web::Json<NewInvitation>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let email: Handle = new
        .email
        .parse()
        .map_err(|_| AdminError::Invalid("The email must be a mail address.".to_owned()))?;
    if !state.deployment_policy().allows(Some(email.domain())) {
        return Err(AdminError::DomainNotAllowed(email.domain().to_owned()));
    }
    let mut change = Change::begin(&state.pool, session.actor(Channel::Http)).await?;
    let made = invite::invite(
        change.connection(),
        session.workspace,
        &email,
        LIFETIME,
        &state.randomness,
    )
    .await?;
    change
        .commit(
            session.workspace,
            Action::InvitationMade,
            &format!("{} {email}", made.id),
        )
        .await?;
    Ok(HttpResponse::Created().json(InvitationLink {
        id: made.id,
        email: email.as_str().to_owned(),
        link: link(&state, "workspacePersonalInviteToken", &made.token),
        expires_at: rfc3339(made.expires_at),
    }))
}

/// Withdraws a personal invitation.
#[utoipa::path(delete, path = "/auth/workspace/invitations/{id}", tag = "workspace", operation_id = "revoke_invitation", security(("session" = []), ("bearer" = [])),
    params(("id" = Uuid, Path, description = "Id of the invitation")), responses(
    (status = 204, description = "The link does not work any more"),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "The workspace has no such invitation, or it was used already", body = Problem)))]
async fn revoke(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let id: Uuid = id.parse().map_err(|_| AdminError::Unknown)?;
    let mut change = Change::begin(&state.pool, session.actor(Channel::Http)).await?;
    if invite::revoke(change.connection(), session.workspace, id).await? {
        change
            .commit(
                session.workspace,
                Action::InvitationRevoked,
                &id.to_string(),
            )
            .await?;
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(AdminError::Unknown)
    }
}

/// Turns the public invitation link on or off. Only this response contains a new link.
#[utoipa::path(put, path = "/auth/workspace/public-invite", tag = "workspace", operation_id = "set_public_invite", security(("session" = []), ("bearer" = [])),
    request_body = Switch, responses(
    (status = 200, description = "The new link, if it is on", body = PublicLink),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem)))]
async fn public(
    state: web::Data<State>,
    request: HttpRequest,
    switch: web::Json<Switch>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let mut change = Change::begin(&state.pool, session.actor(Channel::Http)).await?;
    let token = set_public_invite(
        change.connection(),
        session.workspace,
        switch.enabled,
        &state.randomness,
    )
    .await?;
    let action = if switch.enabled {
        Action::PublicLinkOn
    } else {
        Action::PublicLinkOff
    };
    change
        .commit(session.workspace, action, "public link")
        .await?;
    let link = token.map(|token| link(&state, "workspaceInviteHash", &token));
    Ok(HttpResponse::Ok().json(PublicLink {
        enabled: link.is_some(),
        link,
    }))
}

fn link(state: &State, parameter: &str, token: &str) -> String {
    let mut url = state.config.public_origin.url().clone();
    url.query_pairs_mut().append_pair(parameter, token);
    url.to_string()
}
