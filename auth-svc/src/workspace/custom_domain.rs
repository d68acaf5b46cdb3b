//! The administrators' API for the workspace's own host.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::login::domain_list::parse_domain;
use crate::state::State;
use crate::store::audit::{Action, Change, Channel};
use crate::store::workspace::custom_host;
use crate::store::workspace::domain::{self, Purpose};
use crate::workspace::admin::{AdminError, admin};
use crate::workspace::domain_verification::{self, PendingDomain, VerificationError};

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_show, show);
    routes.add(__path_add, add);
    routes.add_slow(__path_verify, verify);
    routes.add(__path_remove, remove);
}

/// A host to add.
#[derive(Debug, Deserialize, ToSchema)]
struct NewHost {
    /// The host, such as app.customer.com.
    host: String,
}

/// The workspace's own host.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OwnHost {
    /// The host.
    custom_domain: String,
}

/// The workspace's own host, and hosts that wait for their verification.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Hosts {
    /// The host, or null.
    custom_domain: Option<String>,
    /// Hosts that wait for their verification.
    pending: Vec<PendingDomain>,
}

/// Returns the workspace's own host, and hosts that are waiting for verification.
#[utoipa::path(get, path = "/auth/workspace/custom-domain", tag = "workspace", operation_id = "show_custom_domain", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "The host, or null, and pending ones", body = Hosts),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator", body = Problem)))]
async fn show(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, false).await?;
    let pending = domain::claims(&state.pool, session.workspace, Purpose::Host).await?;
    Ok(HttpResponse::Ok().json(Hosts {
        custom_domain: session.custom_domain,
        pending: pending.iter().map(PendingDomain::from).collect(),
    }))
}

/// Adds a host. It is used after it has been verified.
#[utoipa::path(post, path = "/auth/workspace/custom-domain", tag = "workspace", operation_id = "add_custom_domain", security(("session" = []), ("bearer" = [])),
    request_body = NewHost, responses(
    (status = 202, description = "Pending; the record to publish", body = PendingDomain),
    (status = 400, description = "Not a host, or a host of this deployment", body = Problem),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 409, description = "The deployment has one host for all", body = Problem)))]
async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    new: web::Json<NewHost>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    if !state.config.multi_workspace {
        return Err(AdminError::SingleDomain);
    }
    let host = parsed(&new.host)?;
    if domain_verification::overlaps(&host, state.config.returns.own_urls()) {
        return Err(AdminError::OwnDomain(host));
    }
    let claim = domain_verification::claim(
        &state.pool,
        session.actor(Channel::Http),
        session.workspace,
        Purpose::Host,
        &host,
        &state.randomness,
    )
    .await?;
    Ok(HttpResponse::Accepted().json(PendingDomain::from(&claim)))
}

/// Looks up the host's TXT record and, if it is there, starts to use the host.
#[utoipa::path(post, path = "/auth/workspace/custom-domain/{host}/verify", tag = "workspace", operation_id = "verify_custom_domain", security(("session" = []), ("bearer" = [])),
    params(("host" = String, Path, description = "The host")), responses(
    (status = 200, description = "Verified and used", body = OwnHost),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "The host is not pending, or not a host", body = Problem),
    (status = 409, description = "The record is missing, or another workspace has the host", body = Problem),
    (status = 503, description = "The name servers do not respond", body = Problem)))]
async fn verify(
    state: web::Data<State>,
    request: HttpRequest,
    host: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let host = parse_domain(&host).map_err(|_| AdminError::Unknown)?;
    domain_verification::verify_by_record(
        &state.pool,
        &*state.txt,
        session.actor(Channel::Http),
        session.workspace,
        Purpose::Host,
        &host,
    )
    .await?;
    tracing::info!(%host, workspace.id = %session.workspace, outcome = "verified", "a host was verified by its record");
    Ok(HttpResponse::Ok().json(OwnHost {
        custom_domain: host,
    }))
}

/// Stops using the workspace's own host.
#[utoipa::path(delete, path = "/auth/workspace/custom-domain", tag = "workspace", operation_id = "remove_custom_domain", security(("session" = []), ("bearer" = [])), responses(
    (status = 204, description = "The workspace is served at its subdomain again"),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem)))]
async fn remove(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let mut change = Change::begin(&state.pool, session.actor(Channel::Http)).await?;
    custom_host::set(change.connection(), session.workspace, None)
        .await
        .map_err(VerificationError::from)?;
    let former = session.custom_domain.as_deref().unwrap_or("none");
    change
        .commit(session.workspace, Action::HostRemoved, former)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn parsed(text: &str) -> Result<String, AdminError> {
    parse_domain(text).map_err(|_| {
        AdminError::Invalid("The host must be a name such as app.customer.com.".to_owned())
    })
}
