//! `auth-svc workspace …`: creates workspaces and says who may join them. Who
//! runs these commands has the database: their word needs no proof.

mod audit;
mod custom_domain;
pub mod desk;
mod domain;
mod invitation;
mod member;
mod overview;

use clap::Subcommand;
use latchkey_config::Environment;
use latchkey_service::{StartError, database};
use serde_json::json;

use crate::app::SERVICE;
use crate::commands::workspace::desk::{Answer, Desk};
use crate::random::Randomness;
use crate::store::audit::Action;
use crate::store::workspace;

/// What to do. A workspace is named by its id, host or name; a deployment with
/// one workspace need not name it.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates a workspace and prints its id.
    Create {
        /// Its name.
        name: String,
        /// First label of its own host, for multi-domain mode.
        #[arg(long)]
        subdomain: Option<String>,
    },
    /// Lists the workspaces.
    List,
    /// Lets everybody of a domain join at once, on your word (exact match, no subdomains).
    ApproveDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Takes the domain from the list instead.
        #[arg(long, conflicts_with = "force")]
        remove: bool,
        /// Also a domain whose addresses anybody can have, such as gmail.com.
        #[arg(long)]
        force: bool,
    },
    /// Adds a domain that lets nobody in until it is verified, and prints how.
    AddDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Looks for the domain's TXT record and lets the domain in where it is there.
    VerifyDomain {
        /// The domain.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Prints a verification link, once; send it to that mailbox.
    VerificationLink {
        /// admin@, administrator@, hostmaster@, postmaster@ or webmaster@ of the domain.
        email: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Lists the domains that are let in and those that wait to be verified.
    Domains {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Makes a personal invitation and prints its link, once.
    Invite {
        /// Address that the person signs in with.
        email: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// How long it holds.
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
        /// Its id, as `invitations` shows it.
        id: uuid::Uuid,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Switches the public invitation link; `on` and `rotate` make a new one and print it, once.
    PublicInvite {
        /// `on`, `off` or `rotate`.
        #[arg(value_parser = ["on", "off", "rotate"])]
        switch: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// The workspace's own host, such as app.customer.com (multi-domain mode).
    #[command(subcommand)]
    CustomDomain(custom_domain::Command),
    /// Lists the members and who administers.
    Members {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
    /// Says whether a member administers the workspace.
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
    /// Takes a member out: ends their sessions in this workspace and disconnects the
    /// accounts that they connected there.
    RemoveMember {
        /// The member's address or user id.
        member: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Leaves the person's accounts connected.
        #[arg(long)]
        keep_connections: bool,
        /// Also the last administrator: nobody can administer the workspace afterwards
        /// until `role` names another one.
        #[arg(long)]
        force: bool,
    },
    /// Lists what administrators and operators changed, the newest first.
    Audit {
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// At most this many records.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Takes old records of all workspaces away, as an operator: DATABASE_URL is a person's.
    PruneAudit {
        /// What is younger stays; 30d at least.
        #[arg(long, value_parser = latchkey_config::parse_duration)]
        older_than: std::time::Duration,
    },
}

/// Does it and answers what to print.
///
/// # Errors
/// A variable is wrong, the workspace does not exist, the database refused.
pub async fn run(environment: &Environment, command: Command) -> Result<Answer, StartError> {
    let desk = Desk {
        environment,
        pool: database::pool_of_command(environment, SERVICE)?,
        randomness: Randomness::default(),
    };
    match command {
        Command::Create { name, subdomain } => {
            let mut change = desk.change().await?;
            let id = workspace::create(change.on(), &name, subdomain.as_deref())
                .await
                .map_err(StartError::other)?;
            change
                .commit(id, Action::WorkspaceCreated, &name)
                .await
                .map_err(StartError::other)?;
            Ok(Answer::new(id.to_string(), json!({ "id": id })))
        }
        Command::List => overview::list(&desk).await,
        Command::ApproveDomain {
            domain,
            workspace,
            remove,
            force,
        } => {
            let workspace = desk.find(workspace).await?;
            if remove {
                domain::remove(&desk, &workspace, &domain).await
            } else {
                domain::approve(&desk, &workspace, &domain, force).await
            }
        }
        Command::AddDomain { domain, workspace } => {
            domain::add(&desk, &desk.find(workspace).await?, &domain).await
        }
        Command::VerifyDomain { domain, workspace } => {
            domain::verify(&desk, &desk.find(workspace).await?, &domain).await
        }
        Command::VerificationLink { email, workspace } => {
            domain::link(&desk, &desk.find(workspace).await?, &email).await
        }
        Command::Domains { workspace } => domain::list(&desk, &desk.find(workspace).await?).await,
        Command::Invite {
            email,
            workspace,
            expires_in,
        } => {
            let workspace = desk.find(workspace).await?;
            invitation::invite(&desk, &workspace, &email, &expires_in).await
        }
        Command::Invitations { workspace } => {
            invitation::list(&desk, &desk.find(workspace).await?).await
        }
        Command::RevokeInvitation { id, workspace } => {
            invitation::revoke(&desk, &desk.find(workspace).await?, id).await
        }
        Command::PublicInvite { switch, workspace } => {
            invitation::public(&desk, &desk.find(workspace).await?, &switch).await
        }
        Command::CustomDomain(command) => custom_domain::run(&desk, command).await,
        Command::Members { workspace } => member::list(&desk, &desk.find(workspace).await?).await,
        Command::Role {
            member,
            role,
            workspace,
        } => {
            let workspace = desk.find(workspace).await?;
            member::set_role(&desk, &workspace, &member, role == "admin").await
        }
        Command::RemoveMember {
            member,
            workspace,
            keep_connections,
            force,
        } => {
            let workspace = desk.find(workspace).await?;
            member::remove(&desk, &workspace, &member, keep_connections, force).await
        }
        Command::Audit { workspace, limit } => {
            audit::list(&desk, &desk.find(workspace).await?, limit).await
        }
        Command::PruneAudit { older_than } => audit::prune(&desk, older_than).await,
    }
}
