use std::fmt::Write as _;

use latchkey_config::ConfigError;
use latchkey_domain::Handle;
use latchkey_providers::is_consumer_domain;
use latchkey_service::StartError;
use serde_json::{Value, json};

use super::{Answer, Desk};
use crate::config::{DomainList, parse_domain};
use crate::proof::dns::NameServers;
use crate::proof::rfc3339;
use crate::proof::{self, MAILBOXES};
use crate::store::audit::{Action, Actor};
use crate::store::workspace::domain::{self, Claim, Purpose};
use crate::store::workspace::{Workspace, approve_domain};

const ALLOWED_DOMAINS: &str = "AUTH_ALLOWED_DOMAINS";
/// Where a verification link leads.
const LINK_PATH: &str = "/verify-domain";

pub(super) async fn approve(
    desk: &Desk<'_>,
    workspace: &Workspace,
    domain: &str,
    force: bool,
) -> Result<Answer, StartError> {
    let domain = work_domain(domain, force)?;
    let mut change = desk.change().await?;
    approve_domain(change.on(), workspace.id, &domain, true)
        .await
        .map_err(StartError::other)?;
    change
        .commit(workspace.id, Action::DomainApproved, &domain)
        .await
        .map_err(StartError::other)?;
    Ok(Answer::new(
        format!("{} lets {domain} in", workspace.name),
        json!({ "domain": domain, "status": "APPROVED", "approvedBy": "OPERATOR" }),
    ))
}

pub(super) async fn remove(
    desk: &Desk<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, StartError> {
    let domain = parse_domain(domain).map_err(StartError::other)?;
    let mut change = desk.change().await?;
    approve_domain(change.on(), workspace.id, &domain, false)
        .await
        .map_err(StartError::other)?;
    change
        .commit(workspace.id, Action::DomainRemoved, &domain)
        .await
        .map_err(StartError::other)?;
    Ok(Answer::new(
        format!("{} no longer lets {domain} in", workspace.name),
        json!({ "domain": domain, "status": "REMOVED" }),
    ))
}

pub(super) async fn add(
    desk: &Desk<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, StartError> {
    let domain = work_domain(domain, false)?;
    let mut change = desk.change().await?;
    let claim = domain::claim(
        change.on(),
        workspace.id,
        Purpose::Access,
        &domain,
        &desk.randomness,
    )
    .await
    .map_err(StartError::other)?;
    change
        .commit(workspace.id, Action::DomainClaimed, &domain)
        .await
        .map_err(StartError::other)?;
    Ok(Answer::new(
        format!(
            "{domain} waits to be verified until {}. Publish\n  {}\nand run: auth-svc workspace \
             verify-domain {domain}\nor send the link of: auth-svc workspace verification-link \
             postmaster@{domain}",
            rfc3339(claim.expires_at),
            record(&claim),
        ),
        claimed(&claim),
    ))
}

pub(super) async fn verify(
    desk: &Desk<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, StartError> {
    let domain = parse_domain(domain).map_err(StartError::other)?;
    let servers = NameServers::from_environment(desk.environment)?;
    proof::by_record(
        &desk.pool,
        &servers,
        Actor::Operator,
        workspace.id,
        Purpose::Access,
        &domain,
    )
    .await
    .map_err(StartError::other)?;
    Ok(Answer::new(
        format!("verified: {} lets {domain} in", workspace.name),
        json!({ "domain": domain, "status": "APPROVED", "approvedBy": "DNS" }),
    ))
}

pub(super) async fn link(
    desk: &Desk<'_>,
    workspace: &Workspace,
    email: &str,
) -> Result<Answer, StartError> {
    let email: Handle = email.parse().map_err(StartError::other)?;
    let domain = email.domain();
    if !proof::proves(&email, domain) {
        return Err(StartError::Other(format!(
            "anybody may have {email}: a domain is verified by {} at {domain}",
            MAILBOXES.join(", ")
        )));
    }
    let mut change = desk.change().await?;
    let made = domain::email_token(
        change.on(),
        workspace.id,
        domain,
        email.as_str(),
        &desk.randomness,
    )
    .await
    .map_err(StartError::other)?;
    let Some((token, until)) = made else {
        return Err(StartError::Other(format!(
            "{domain} is not waiting to be verified: auth-svc workspace add-domain {domain}"
        )));
    };
    change
        .commit(workspace.id, Action::DomainLinkMade, email.as_str())
        .await
        .map_err(StartError::other)?;
    let link = desk.link(LINK_PATH, "token", &token)?;
    let until = rfc3339(until);
    Ok(Answer::new(
        format!("send this to {email}, nobody else; once, until {until}:\n{link}"),
        json!({ "domain": domain, "email": email.as_str(), "link": link, "expiresAt": until }),
    ))
}

pub(super) async fn list(desk: &Desk<'_>, workspace: &Workspace) -> Result<Answer, StartError> {
    let approved = domain::approved(&desk.pool, workspace.id)
        .await
        .map_err(StartError::other)?;
    let pending = domain::claims(&desk.pool, workspace.id, Purpose::Access)
        .await
        .map_err(StartError::other)?;
    let mut text = String::new();
    let mut json = Vec::new();
    for domain in &approved {
        let _ = writeln!(
            text,
            "{}  approved by {}",
            domain.domain, domain.approved_by
        );
        json.push(json!({
            "domain": domain.domain,
            "status": "APPROVED",
            "approvedBy": domain.approved_by,
            "since": rfc3339(domain.created_at),
        }));
    }
    for claim in &pending {
        let _ = writeln!(
            text,
            "{}  pending until {}: {}",
            claim.domain,
            rfc3339(claim.expires_at),
            record(claim)
        );
        json.push(claimed(claim));
    }
    if text.is_empty() {
        "no domain: people come by invitation".clone_into(&mut text);
    }
    Ok(Answer::new(text, Value::Array(json)))
}

/// The record to publish, as a zone file has it.
pub(super) fn record(claim: &Claim) -> String {
    format!(
        "{}. TXT \"{}\"",
        proof::record_name(&claim.domain),
        claim.record_value
    )
}

/// A claim for the operator's programs.
pub(super) fn claimed(claim: &Claim) -> Value {
    let mut told = proof::claimed(claim);
    told["linkMadeFor"] = json!(claim.email);
    told
}

fn work_domain(text: &str, force: bool) -> Result<String, StartError> {
    let domain = parse_domain(text).map_err(StartError::other)?;
    if force || !is_consumer_domain(&domain) {
        return Ok(domain);
    }
    Err(StartError::Other(format!(
        "anybody can have an address of {domain}: invite people instead (auth-svc workspace \
         invite, or public-invite on), or approve-domain --force"
    )))
}

/// The deployment's list bounds invitations too: better said now than at the
/// person's sign-in.
pub(super) fn allowed_by_deployment(desk: &Desk<'_>, email: &Handle) -> Result<(), StartError> {
    let list = deployment_domains(desk)?;
    if list.is_empty() || list.contains(email.domain()) {
        Ok(())
    } else {
        let problem = format!("does not contain {}", email.domain());
        Err(ConfigError::new(ALLOWED_DOMAINS, problem).into())
    }
}

/// The deployment's list of domains, as this shell knows it.
pub(super) fn deployment_domains(desk: &Desk<'_>) -> Result<DomainList, StartError> {
    let list = desk.environment.list(ALLOWED_DOMAINS)?;
    DomainList::parse(&list)
        .map_err(|error| ConfigError::new(ALLOWED_DOMAINS, error.to_string()).into())
}
