use clap::Subcommand;
use latchkey_service::StartError;
use serde_json::json;
use url::Url;

use crate::commands::workspace::context::{CommandContext, Output};
use crate::commands::workspace::domain::{claim_json, txt_record};
use crate::login::domain_list::parse_domain;
use crate::store::audit::Action;
use crate::store::workspace::custom_host;
use crate::store::workspace::domain::Purpose;
use crate::workspace::domain_verification::{self, rfc3339};

/// The subcommands of `auth-svc workspace custom-domain`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Adds a host and prints how to verify it. It is not used until it is verified.
    Add {
        /// The host, such as app.customer.com.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Looks up the host's TXT record and, if it is there, starts to use the host.
    Verify {
        /// The host.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Starts to use a host at once, without verification.
    Approve {
        /// The host.
        host: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Stops using the workspace's own host.
    Remove {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
}

pub(super) async fn run(
    context: &CommandContext<'_>,
    command: Command,
) -> Result<Output, StartError> {
    match command {
        Command::Add { host, workspace } => {
            let workspace = context.find_workspace(workspace).await?;
            let host = parse_host(context, &host)?;
            let claim = context.claim(&workspace, Purpose::Host, &host).await?;
            Ok(Output::new(
                format!(
                    "{host} is waiting for verification until {}. Publish\n  {}\nand run: auth-svc \
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
                .map_err(StartError::other)?;
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
                .map_err(StartError::other)?;
            let former = workspace.custom_domain.as_deref().unwrap_or("none");
            change
                .commit(workspace.id, Action::HostRemoved, former)
                .await?;
            Ok(Output::new(
                format!("{} no longer has its own host", workspace.name),
                json!({ "customDomain": null }),
            ))
        }
    }
}

fn host_output(workspace: &str, host: &str) -> Output {
    Output::new(
        format!("{workspace} is now served at {host}"),
        json!({ "customDomain": host }),
    )
}

/// Parses a host, which must not be, contain or belong to a host of this deployment.
fn parse_host(context: &CommandContext<'_>, text: &str) -> Result<String, StartError> {
    let host = parse_domain(text).map_err(StartError::other)?;
    let mut own = context.environment.list("ALLOWED_RETURN_ORIGINS")?;
    for name in ["PUBLIC_URL", "APP_URL"] {
        own.extend(context.environment.optional(name)?);
    }
    let own: Vec<Url> = own.iter().filter_map(|url| Url::parse(url).ok()).collect();
    if domain_verification::overlaps(&host, &own) {
        return Err(StartError::Other(format!(
            "{host} is this deployment's own: a workspace's host under APP_URL is its subdomain"
        )));
    }
    Ok(host)
}
