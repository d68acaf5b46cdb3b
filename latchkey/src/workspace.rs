//! `latchkey workspace …`: creates workspaces and decides who may join them. The operator
//! who runs these commands has access to the database, so approvals need no proof.

pub(crate) mod context;
mod custom_domain;
mod domain;
mod invitation;
mod member;
mod overview;

use clap::Subcommand;
use latchkey_config::Environment;
use latchkey_workspaces::store::audit::Action;
use latchkey_workspaces::store::workspace;
use serde_json::json;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::workspace::context::CommandContext;

/// The subcommands of `latchkey workspace`. `--workspace` takes an id, a host or a name; a
/// deployment with one workspace does not need it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a workspace and print its id.
    Create {
        /// Name of the workspace.
        name: String,
        /// First label of the workspace's own host, for multi-domain mode.
        #[arg(long)]
        subdomain: Option<String>,
    },
    /// List the workspaces.
    List,
    /// Let everybody of a domain join at once, without verification (exact match, no subdomains).
    ApproveDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Remove the domain from the list instead.
        #[arg(long, conflicts_with = "force")]
        remove: bool,
        /// Accept a domain where anybody can get an address, such as gmail.com.
        #[arg(long)]
        force: bool,
    },
    /// Add a domain and print how to verify it. Until it is verified, an address of the
    /// domain lets nobody join.
    AddDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Look up the domain's TXT record and, if it is there, let people of the domain join.
    VerifyDomain {
        /// The domain.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Create a verification link and print it, once; send it to that mailbox.
    VerificationLink {
        /// admin@, administrator@, hostmaster@, postmaster@ or webmaster@ of the domain.
        email: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// List the approved domains and those that are waiting for verification.
    Domains {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Create a personal invitation and print its link, once.
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
    /// List the personal invitations.
    Invitations {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Withdraw a personal invitation.
    RevokeInvitation {
        /// Id of the invitation, as `invitations` prints it.
        id: uuid::Uuid,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Turn the public invitation link on or off, or replace it; a new link is printed once.
    /// `on` changes nothing if it is on already.
    PublicInvite {
        /// What to do with the link.
        switch: invitation::PublicLink,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Manage the workspace's own host, such as app.customer.com (multi-domain mode).
    #[command(subcommand)]
    CustomDomain(custom_domain::Command),
    /// List the members and their roles.
    Members {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Make a member an administrator or an ordinary member.
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
    /// Remove a member: end their sessions in this workspace and disconnect the
    /// accounts that they connected there.
    RemoveMember {
        /// The member's address or user id.
        member: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Keep the person's accounts connected.
        #[arg(long)]
        keep_connections: bool,
        /// Also remove the last administrator. Then nobody can administer the workspace
        /// until `role` makes a member an administrator.
        #[arg(long)]
        force: bool,
    },
}

/// Runs a command.
pub(crate) async fn run(environment: &Environment, command: Command) -> Result<Answer, Failure> {
    let context = CommandContext::open(environment).await?;
    match command {
        Command::Create { name, subdomain } => {
            let mut change = context.change().await?;
            let id = workspace::create(change.connection(), &name, subdomain.as_deref())
                .await
                .map_err(Failure::of)?;
            change.commit(id, Action::WorkspaceCreated, &name).await?;
            Ok(Answer::new(id.to_string(), json!({ "id": id })))
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
            invitation::public(&context, &context.find_workspace(workspace).await?, switch).await
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
    }
}
