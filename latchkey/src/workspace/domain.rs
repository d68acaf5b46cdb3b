use latchkey_config::ConfigError;
use latchkey_domain::Handle;
use latchkey_providers::is_consumer_domain;
use latchkey_workspaces::domain_list::{DomainList, parse_domain};
use latchkey_workspaces::domain_verification::{self, MAILBOXES, rfc3339};
use latchkey_workspaces::store::audit::Action;
use latchkey_workspaces::store::workspace::Workspace;
use latchkey_workspaces::store::workspace::domain::{self, Claim, Purpose, approve_domain};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;

const ALLOWED_DOMAINS: &str = "AUTH_ALLOWED_DOMAINS";
/// Path of the page that a verification link opens.
const LINK_PATH: &str = "/verify-domain";

pub(super) async fn approve(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    domain: &str,
    force: bool,
) -> Result<Answer, Failure> {
    let domain = parse_company_domain(domain, force)?;
    let mut change = context.change().await?;
    approve_domain(change.connection(), workspace.id, &domain, true).await?;
    change
        .commit(workspace.id, Action::DomainApproved, &domain)
        .await?;
    Ok(Answer::new(
        format!("people of {domain} can now join {}", workspace.name),
        json!({ "domain": domain, "status": "APPROVED", "approvedBy": "OPERATOR" }),
    ))
}

pub(super) async fn remove(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, Failure> {
    let domain = parse_domain(domain).map_err(Failure::of)?;
    let mut change = context.change().await?;
    approve_domain(change.connection(), workspace.id, &domain, false).await?;
    change
        .commit(workspace.id, Action::DomainRemoved, &domain)
        .await?;
    Ok(Answer::new(
        format!("people of {domain} can no longer join {}", workspace.name),
        json!({ "domain": domain, "status": "REMOVED" }),
    ))
}

pub(super) async fn add(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, Failure> {
    let domain = parse_company_domain(domain, false)?;
    let claim = context.claim(workspace, Purpose::Access, &domain).await?;
    Ok(Answer::new(
        format!(
            "{domain} is waiting for verification until {}. Publish\n  {}\nand run: latchkey workspace \
             verify-domain {domain}\nor send the link of: latchkey workspace verification-link \
             postmaster@{domain}",
            rfc3339(claim.expires_at),
            txt_record(&claim),
        ),
        claim_json(&claim),
    ))
}

pub(super) async fn verify(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    domain: &str,
) -> Result<Answer, Failure> {
    let domain = parse_domain(domain).map_err(Failure::of)?;
    context.verify(workspace, Purpose::Access, &domain).await?;
    Ok(Answer::new(
        format!(
            "verified: people of {domain} can now join {}",
            workspace.name
        ),
        json!({ "domain": domain, "status": "APPROVED", "approvedBy": "DNS" }),
    ))
}

pub(super) async fn link(
    context: &CommandContext<'_>,
    workspace: &Workspace,
    email: &str,
) -> Result<Answer, Failure> {
    let email: Handle = email.parse().map_err(Failure::of)?;
    let domain = email.domain();
    if !domain_verification::is_admin_mailbox(&email, domain) {
        return Err(Failure::Refused(format!(
            "{email} does not prove control of the domain: use {} at {domain}",
            MAILBOXES.join(", ")
        )));
    }
    let mut change = context.change().await?;
    let made = domain::email_token(
        change.connection(),
        workspace.id,
        domain,
        email.as_str(),
        &context.randomness,
    )
    .await
    .map_err(Failure::of)?;
    let Some((token, until)) = made else {
        return Err(Failure::Refused(format!(
            "{domain} is not waiting for verification: run latchkey workspace add-domain {domain}"
        )));
    };
    change
        .commit(workspace.id, Action::DomainLinkMade, email.as_str())
        .await?;
    let link = context.link(LINK_PATH, "token", &token)?;
    let until = rfc3339(until);
    Ok(Answer::new(
        format!("send this link to {email} only; it can be used once, until {until}:\n{link}"),
        json!({ "domain": domain, "email": email.as_str(), "link": link, "expiresAt": until }),
    ))
}

pub(super) async fn list(
    context: &CommandContext<'_>,
    workspace: &Workspace,
) -> Result<Answer, Failure> {
    let approved = domain::approved(&context.pool, workspace.id).await?;
    let pending = domain::claims(&context.pool, workspace.id, Purpose::Access).await?;
    let approved = approved.iter().map(|domain| {
        let line = format!("{}  approved by {}", domain.domain, domain.approved_by);
        (line, domain_verification::approved_json(domain))
    });
    let pending = pending.iter().map(|claim| {
        let line = format!(
            "{}  pending until {}: {}",
            claim.domain,
            rfc3339(claim.expires_at),
            txt_record(claim)
        );
        (line, claim_json(claim))
    });
    let empty = "no domains: people can join by invitation only";
    Ok(Answer::list(approved.chain(pending), empty))
}

/// Returns the TXT record to publish, in the notation of a zone file.
pub(super) fn txt_record(claim: &Claim) -> String {
    format!(
        "{}. TXT \"{}\"",
        domain_verification::record_name(&claim.domain),
        claim.record_value
    )
}

/// Returns a claim as JSON.
pub(super) fn claim_json(claim: &Claim) -> Value {
    let mut json = domain_verification::claim_json(claim);
    json["linkMadeFor"] = json!(claim.email);
    json
}

fn parse_company_domain(text: &str, force: bool) -> Result<String, Failure> {
    let domain = parse_domain(text).map_err(Failure::of)?;
    if force || !is_consumer_domain(&domain) {
        return Ok(domain);
    }
    Err(Failure::Refused(format!(
        "anybody can get an address of {domain}: invite people instead (latchkey workspace \
         invite, or public-invite on), or use approve-domain --force"
    )))
}

/// Checks the deployment's list of domains, which invitations cannot override. Otherwise
/// the person would be refused only at the sign-in.
pub(super) fn allowed_by_deployment(
    context: &CommandContext<'_>,
    email: &Handle,
) -> Result<(), Failure> {
    let list = deployment_domains(context)?;
    if list.is_empty() || list.contains(email.domain()) {
        Ok(())
    } else {
        let problem = format!("does not contain {}", email.domain());
        Err(ConfigError::new(ALLOWED_DOMAINS, problem).into())
    }
}

/// Reads the deployment's list of domains from this shell's environment.
pub(super) fn deployment_domains(context: &CommandContext<'_>) -> Result<DomainList, Failure> {
    let list = context.environment.list(ALLOWED_DOMAINS)?;
    DomainList::parse(&list)
        .map_err(|error| ConfigError::new(ALLOWED_DOMAINS, error.to_string()).into())
}
