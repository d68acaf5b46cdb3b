//! The administrators' API for approved and pending domains.

use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_providers::is_consumer_domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::login::domain_list::parse_domain;
use crate::state::State;
use crate::store::audit::{Action, Change, Channel};
use crate::store::workspace::domain::{self, Purpose, approve_domain};
use crate::workspace::admin::{AdminError, admin};
use crate::workspace::domain_verification::{self, ApprovedDomain, PendingDomain};

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_list, list);
    routes.add(__path_add, add);
    routes.add_slow(__path_verify, verify);
    routes.add(__path_remove, remove);
}

/// A domain to add.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDomain {
    /// The domain, such as company.com.
    domain: String,
}

/// The domains of a workspace.
#[derive(Serialize, ToSchema)]
struct Domains {
    /// First the approved ones, then those that wait for their verification.
    domains: Vec<Domain>,
}

/// An approved or a pending domain.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Domain {
    /// People with an address of the domain may join.
    Approved(ApprovedDomain),
    /// The domain waits for its verification.
    Pending(PendingDomain),
}

/// Lists the workspace's approved and pending domains.
#[utoipa::path(get, path = "/auth/workspace/domains", tag = "workspace", operation_id = "list_domains", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "Approved and pending domains", body = Domains),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator", body = Problem)))]
async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, false).await?;
    let approved = domain::approved(&state.pool, session.workspace).await?;
    let pending = domain::claims(&state.pool, session.workspace, Purpose::Access).await?;
    let approved = approved.iter().map(|one| Domain::Approved(one.into()));
    let pending = pending.iter().map(|claim| Domain::Pending(claim.into()));
    Ok(HttpResponse::Ok().json(Domains {
        domains: approved.chain(pending).collect(),
    }))
}

/// Adds a domain. People of the domain can join after it has been verified.
#[utoipa::path(post, path = "/auth/workspace/domains", tag = "workspace", operation_id = "add_domain", security(("session" = []), ("bearer" = [])),
    request_body = NewDomain, responses(
    (status = 202, description = "Pending; the record to publish", body = PendingDomain),
    (status = 400, description = "Not a domain, or a domain where anybody can get an address", body = Problem),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem)))]
async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    new: web::Json<NewDomain>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = parsed(&new.domain)?;
    if is_consumer_domain(&domain) {
        return Err(AdminError::ConsumerDomain(domain));
    }
    let claim = domain_verification::claim(
        &state.pool,
        session.actor(Channel::Http),
        session.workspace,
        Purpose::Access,
        &domain,
        &state.randomness,
    )
    .await?;
    Ok(HttpResponse::Accepted().json(PendingDomain::from(&claim)))
}

/// Looks up the domain's TXT record and, if it is there, approves the domain.
#[utoipa::path(post, path = "/auth/workspace/domains/{domain}/verify", tag = "workspace", operation_id = "verify_domain", security(("session" = []), ("bearer" = [])),
    params(("domain" = String, Path, description = "The domain")), responses(
    (status = 200, description = "Verified and approved", body = ApprovedDomain),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "The domain is not pending, or not a domain", body = Problem),
    (status = 409, description = "The record is missing", body = Problem),
    (status = 503, description = "The name servers do not respond", body = Problem)))]
async fn verify(
    state: web::Data<State>,
    request: HttpRequest,
    domain: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = named(&domain)?;
    domain_verification::verify_by_record(
        &state.pool,
        &*state.txt,
        session.actor(Channel::Http),
        session.workspace,
        Purpose::Access,
        &domain,
    )
    .await?;
    tracing::info!(%domain, workspace.id = %session.workspace, outcome = "verified", "a domain was verified by its record");
    Ok(HttpResponse::Ok().json(ApprovedDomain::by_record(domain)))
}

/// Removes an approved or pending domain. People who joined by it stay members.
#[utoipa::path(delete, path = "/auth/workspace/domains/{domain}", tag = "workspace", operation_id = "remove_domain", security(("session" = []), ("bearer" = [])),
    params(("domain" = String, Path, description = "The domain")), responses(
    (status = 204, description = "Nobody can join by the domain any more"),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site made the request", body = Problem),
    (status = 404, description = "Not a domain", body = Problem)))]
async fn remove(
    state: web::Data<State>,
    request: HttpRequest,
    domain: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = named(&domain)?;
    let mut change = Change::begin(&state.pool, session.actor(Channel::Http)).await?;
    approve_domain(change.connection(), session.workspace, &domain, false).await?;
    change
        .commit(session.workspace, Action::DomainRemoved, &domain)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the domain in a path. A text that is no domain names nothing.
fn named(text: &str) -> Result<String, AdminError> {
    parse_domain(text).map_err(|_| AdminError::Unknown)
}

fn parsed(text: &str) -> Result<String, AdminError> {
    parse_domain(text).map_err(|error| AdminError::Invalid(format!("The domain {error}.")))
}
