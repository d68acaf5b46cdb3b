use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_providers::is_consumer_domain;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{AdminError, admin};
use crate::app::State;
use crate::config::parse_domain;
use crate::http::description::Problem;
use crate::http::routes::Routes;
use crate::proof;
use crate::proof::{claimed, rfc3339};
use crate::store::audit::{Action, Actor, Change, Way};
use crate::store::workspace::approve_domain;
use crate::store::workspace::domain::{self, Purpose};

pub(super) fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_list, list);
    routes.add(__path_add, add);
    routes.add_slow(__path_verify, verify);
    routes.add(__path_remove, remove);
}

/// A domain whose people shall join.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDomain {
    /// The domain, such as company.com.
    domain: String,
}

/// The workspace's domains, approved and pending.
#[utoipa::path(get, path = "/auth/workspace/domains", tag = "workspace", responses(
    (status = 200, description = "Approved and pending domains", body = Value),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator", body = Problem)))]
async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, false).await?;
    let approved = domain::approved(&state.pool, session.workspace).await?;
    let pending = domain::claims(&state.pool, session.workspace, Purpose::Access).await?;
    let domains: Vec<Value> = approved
        .iter()
        .map(|domain| {
            json!({
                "domain": domain.domain,
                "status": "APPROVED",
                "approvedBy": domain.approved_by,
                "since": rfc3339(domain.created_at),
            })
        })
        .chain(pending.iter().map(claimed))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "domains": domains })))
}

/// Adds a domain, which lets nobody in until it is verified.
#[utoipa::path(post, path = "/auth/workspace/domains", tag = "workspace",
    request_body = NewDomain, responses(
    (status = 202, description = "Pending; the record to publish", body = Value),
    (status = 400, description = "No domain, or one where anybody can have an address", body = Problem),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site asks", body = Problem)))]
async fn add(
    state: web::Data<State>,
    request: HttpRequest,
    new: web::Json<NewDomain>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = parsed(&new.domain)?;
    if is_consumer_domain(&domain) {
        return Err(AdminError::Refused(
            "consumer_domain",
            format!("Anybody can have an address of {domain}: invite people instead."),
        ));
    }
    let mut change = Change::begin(&state.pool, Actor::of(&session, Way::Http)).await?;
    let claim = domain::claim(
        change.on(),
        session.workspace,
        Purpose::Access,
        &domain,
        &state.randomness,
    )
    .await?;
    change
        .commit(session.workspace, Action::DomainClaimed, &domain)
        .await?;
    Ok(HttpResponse::Accepted().json(claimed(&claim)))
}

/// Looks for the domain's TXT record.
#[utoipa::path(post, path = "/auth/workspace/domains/{domain}/verify", tag = "workspace",
    params(("domain" = String, Path, description = "The domain")), responses(
    (status = 200, description = "Verified and let in", body = Value),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site asks", body = Problem),
    (status = 404, description = "The domain is not pending", body = Problem),
    (status = 409, description = "The record is not there", body = Problem),
    (status = 503, description = "The name servers do not answer", body = Problem)))]
async fn verify(
    state: web::Data<State>,
    request: HttpRequest,
    domain: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = parsed(&domain)?;
    proof::by_record(
        &state.pool,
        &*state.txt,
        Actor::of(&session, Way::Http),
        session.workspace,
        Purpose::Access,
        &domain,
    )
    .await?;
    tracing::info!(%domain, workspace.id = %session.workspace, outcome = "verified", "a domain was verified by its record");
    Ok(HttpResponse::Ok().json(json!({
        "domain": domain, "status": "APPROVED", "approvedBy": "DNS",
    })))
}

/// Takes a domain away, approved or pending. Who joined by it stays.
#[utoipa::path(delete, path = "/auth/workspace/domains/{domain}", tag = "workspace",
    params(("domain" = String, Path, description = "The domain")), responses(
    (status = 204, description = "Nobody joins by it any more"),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Not an administrator, or another web site asks", body = Problem)))]
async fn remove(
    state: web::Data<State>,
    request: HttpRequest,
    domain: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let session = admin(&state, &request, true).await?;
    let domain = parsed(&domain)?;
    let mut change = Change::begin(&state.pool, Actor::of(&session, Way::Http)).await?;
    approve_domain(change.on(), session.workspace, &domain, false).await?;
    change
        .commit(session.workspace, Action::DomainRemoved, &domain)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn parsed(text: &str) -> Result<String, AdminError> {
    parse_domain(text).map_err(|error| AdminError::Invalid(format!("The domain {error}.")))
}
