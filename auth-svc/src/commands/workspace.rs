//! `auth-svc workspace …`: creates workspaces and decides who may join them. The operator
//! who runs these commands has access to the database, so approvals need no proof.

mod audit;
pub mod context;
mod custom_domain;
mod domain;
mod invitation;
mod member;
mod overview;

use clap::Subcommand;
use latchkey_config::Environment;
use latchkey_service::{StartError, database};
use serde_json::json;

use crate::app::SERVICE;
use crate::commands::workspace::context::{CommandContext, Output};
use crate::random::Randomness;
use crate::store::audit::Action;
use crate::store::workspace;

/// The subcommands of `auth-svc workspace`. `--workspace` takes an id, a host or a name; a
/// deployment with one workspace does not need it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates a workspace and prints its id.
    Create {
        /// Name of the workspace.
        name: String,
        /// First label of the workspace's own host, for multi-domain mode.
        #[arg(long)]
        subdomain: Option<String>,
    },
    /// Lists the workspaces.
    List,
    /// Lets everybody of a domain join at once, without verification (exact match, no subdomains).
    ApproveDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Removes the domain from the list instead.
        #[arg(long, conflicts_with = "force")]
        remove: bool,
        /// Accepts a domain where anybody can get an address, such as gmail.com.
        #[arg(long)]
        force: bool,
    },
    /// Adds a domain and prints how to verify it. Until it is verified, an address of the
    /// domain lets nobody join.
    AddDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Looks up the domain's TXT record and, if it is there, lets people of the domain join.
    VerifyDomain {
        /// The domain.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Creates a verification link and prints it, once; send it to that mailbox.
    VerificationLink {
        /// admin@, administrator@, hostmaster@, postmaster@ or webmaster@ of the domain.
        email: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Lists the approved domains and those that are waiting for verification.
    Domains {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Creates a personal invitation and prints its link, once.
    Invite {
        /// Address that the person signs in with.
        email: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// How long the invitation is valid.
        #[arg(long, default_value = "7d")]
        expires_in: String,
    },
    /// Lists the personal invitations.
    Invitations {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Withdraws a personal invitation.
    RevokeInvitation {
        /// Id of the invitation, as `invitations` prints it.
        id: uuid::Uuid,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Turns the public invitation link on or off, or replaces it; a new link is printed once.
    PublicInvite {
        /// `on`, `off` or `rotate`.
        #[arg(value_parser = ["on", "off", "rotate"])]
        switch: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Manages the workspace's own host, such as app.customer.com (multi-domain mode).
    #[command(subcommand)]
    CustomDomain(custom_domain::Command),
    /// Lists the members and their roles.
    Members {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Makes a member an administrator or an ordinary member.
    Role {
        /// The member's address or user id.
        member: String,
        /// `admin` or `member`.
        #[arg(value_parser = ["admin", "member"])]
        role: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Removes a member: ends their sessions in this workspace and disconnects the
    /// accounts that they connected there.
    RemoveMember {
        /// The member's address or user id.
        member: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Keeps the person's accounts connected.
        #[arg(long)]
        keep_connections: bool,
        /// Also removes the last administrator. Then nobody can administer the workspace
        /// until `role` makes a member an administrator.
        #[arg(long)]
        force: bool,
    },
    /// Lists what administrators and operators changed, the newest first.
    Audit {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Maximum number of records.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Deletes old records of all workspaces. DATABASE_URL must be that of an operator.
    PruneAudit {
        /// Records that are younger stay; at least 30d.
        #[arg(long, value_parser = latchkey_config::parse_duration)]
        older_than: std::time::Duration,
    },
}

/// Runs a command and returns its output.
///
/// # Errors
/// Returns an error if a variable is wrong, the workspace does not exist, or the database
/// fails.
pub async fn run(environment: &Environment, command: Command) -> Result<Output, StartError> {
    let context = CommandContext {
        environment,
        pool: database::pool_of_command(environment, SERVICE)?,
        randomness: Randomness::default(),
    };
    match command {
        Command::Create { name, subdomain } => {
            let mut change = context.change().await?;
            let id = workspace::create(change.connection(), &name, subdomain.as_deref())
                .await
                .map_err(StartError::other)?;
            change.commit(id, Action::WorkspaceCreated, &name).await?;
            Ok(Output::new(id.to_string(), json!({ "id": id })))
        }
        Command::List => overview::list(&context).await,
        Command::ApproveDomain {
            domain,
            workspace,
            remove,
            force,
        } => {
            let workspace = context.find_workspace(workspace).await?;
            if remove {
                domain::remove(&context, &workspace, &domain).await
            } else {
                domain::approve(&context, &workspace, &domain, force).await
            }
        }
        Command::AddDomain { domain, workspace } => {
            domain::add(&context, &context.find_workspace(workspace).await?, &domain).await
        }
        Command::VerifyDomain { domain, workspace } => {
            domain::verify(&context, &context.find_workspace(workspace).await?, &domain).await
        }
        Command::VerificationLink { email, workspace } => {
            domain::link(&context, &context.find_workspace(workspace).await?, &email).await
        }
        Command::Domains { workspace } => {
            domain::list(&context, &context.find_workspace(workspace).await?).await
        }
        Command::Invite {
            email,
            workspace,
            expires_in,
        } => {
            let workspace = context.find_workspace(workspace).await?;
            invitation::invite(&context, &workspace, &email, &expires_in).await
        }
        Command::Invitations { workspace } => {
            invitation::list(&context, &context.find_workspace(workspace).await?).await
        }
        Command::RevokeInvitation { id, workspace } => {
            invitation::revoke(&context, &context.find_workspace(workspace).await?, id).await
        }
        Command::PublicInvite { switch, workspace } => {
            invitation::public(&context, &context.find_workspace(workspace).await?, &switch).await
        }
        Command::CustomDomain(command) => custom_domain::run(&context, command).await,
        Command::Members { workspace } => {
            member::list(&context, &context.find_workspace(workspace).await?).await
        }
        Command::Role {
            member,
            role,
            workspace,
        } => {
            let workspace = context.find_workspace(workspace).await?;
            member::set_role(&context, &workspace, &member, role == "admin").await
        }
        Command::RemoveMember {
            member,
            workspace,
            keep_connections,
            force,
        } => {
            let workspace = context.find_workspace(workspace).await?;
            member::remove(&context, &workspace, &member, keep_connections, force).await
        }
        Command::Audit { workspace, limit } => {
            audit::list(&context, &context.find_workspace(workspace).await?, limit).await
        }
        Command::PruneAudit { older_than } => audit::prune(&context, older_than).await,
    }
}
