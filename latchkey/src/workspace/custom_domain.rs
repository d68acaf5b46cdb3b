use clap::Subcommand;
use latchkey_workspaces::domain_list::parse_domain;
use latchkey_workspaces::domain_verification::{self, rfc3339};
use latchkey_workspaces::store::audit::Action;
use latchkey_workspaces::store::workspace::custom_host;
use latchkey_workspaces::store::workspace::domain::Purpose;
use serde_json::json;
use url::Url;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;
use crate::workspace::domain::{claim_json, txt_record};

/// The subcommands of `latchkey workspace custom-domain`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a host and print how to verify it. It is not used until it is verified.
    Add {
        /// The host, such as app.customer.com.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Look up the host's TXT record and, if it is there, start to use the host.
    Verify {
        /// The host.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Start to use a host at once, without verification.
    Approve {
        /// The host.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Stop using the workspace's own host.
    Remove {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
}

pub(super) async fn run(context: &CommandContext<'_>, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Add { host, workspace } => {
            let workspace = context.find_workspace(workspace).await?;
            let host = parse_host(context, &host)?;
            let claim = context.claim(&workspace, Purpose::Host, &host).await?;
            Ok(Answer::new(
                format!(
                    "{host} is waiting for verification until {}. Publish\n  {}\nand run: latchkey \
                     workspace custom-domain verify {host}",
                    rfc3339(claim.expires_at),
                    txt_record(&claim),
                ),
                claim_json(&claim),
            ))
        }
        Command::Verify { host, workspace } => {
            let workspace = context.find_workspace(workspace).await?;
            let host = parse_host(context, &host)?;
            context.verify(&workspace, Purpose::Host, &host).await?;
            Ok(host_output(&workspace.name, &host))
        }
        Command::Approve { host, workspace } => {
            let workspace = context.find_workspace(workspace).await?;
            let host = parse_host(context, &host)?;
            let mut change = context.change().await?;
            custom_host::set(change.connection(), workspace.id, Some(&host))
                .await
                .map_err(Failure::of)?;
            change
                .commit(workspace.id, Action::HostApproved, &host)
                .await?;
            Ok(host_output(&workspace.name, &host))
        }
        Command::Remove { workspace } => {
            let workspace = context.find_workspace(workspace).await?;
            let mut change = context.change().await?;
            custom_host::set(change.connection(), workspace.id, None)
                .await
                .map_err(Failure::of)?;
            let former = workspace.custom_domain.as_deref().unwrap_or("none");
            change
                .commit(workspace.id, Action::HostRemoved, former)
                .await?;
            Ok(Answer::new(
                format!("{} no longer has its own host", workspace.name),
                json!({ "customDomain": null }),
            ))
        }
    }
}

fn host_output(workspace: &str, host: &str) -> Answer {
    Answer::new(
        format!("{workspace} is now served at {host}"),
        json!({ "customDomain": host }),
    )
}

/// Parses a host, which must not be, contain or belong to a host of this deployment.
fn parse_host(context: &CommandContext<'_>, text: &str) -> Result<String, Failure> {
    let host = parse_domain(text).map_err(Failure::of)?;
    let mut own = context.environment.list("ALLOWED_RETURN_ORIGINS")?;
    for name in ["PUBLIC_URL", "APP_URL"] {
        own.extend(context.environment.optional(name)?);
    }
    let own: Vec<Url> = own.iter().filter_map(|url| Url::parse(url).ok()).collect();
    if domain_verification::overlaps(&host, &own) {
        return Err(Failure::Refused(format!(
            "{host} is this deployment's own: a workspace's host under APP_URL is its subdomain"
        )));
    }
    Ok(host)
}
