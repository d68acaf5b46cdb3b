//! `auth-svc workspace …`: creates workspaces and says who may join them.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Subcommand;
use latchkey_config::{ConfigError, Environment, parse_duration};
use latchkey_domain::Handle;
use latchkey_service::{StartError, database};
use sqlx::PgPool;
use time::format_description::well_known::Rfc3339;

use crate::app::SERVICE;
use crate::config::{DomainList, WebOrigin, is_consumer_domain, parse_domain};
use crate::random::Randomness;
use crate::store::workspace::{self, Workspace};

/// What to do. A workspace is named by its id, subdomain or name; a deployment
/// with one workspace need not name it.
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
    /// Lets everybody of a domain join (exact match, no subdomains).
    ApproveDomain {
        /// The domain, such as company.com.
        domain: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// Takes the domain from the list instead.
        #[arg(long)]
        remove: bool,
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
    /// Switches the public invitation link; `on` makes a new one and prints it.
    PublicInvite {
        /// `on` or `off`.
        #[arg(value_parser = ["on", "off"])]
        switch: String,
        /// The workspace.
        #[arg(long)]
        workspace: Option<String>,
    },
}

/// Does it and answers what to print.
///
/// # Errors
/// A variable is wrong, the workspace does not exist, the database refused.
pub async fn run(environment: &Environment, command: Command) -> Result<String, StartError> {
    let pool = database::pool(environment, SERVICE)?;
    let randomness = Randomness::default();
    match command {
        Command::Create { name, subdomain } => {
            workspace::create(&pool, &name, subdomain.as_deref())
                .await
                .map(|id| id.to_string())
                .map_err(StartError::other)
        }
        Command::List => list(&pool).await,
        Command::ApproveDomain {
            domain,
            workspace,
            remove,
        } => {
            let workspace = find(&pool, workspace.as_deref()).await?;
            let domain = parse_domain(&domain).map_err(StartError::other)?;
            if !remove && is_consumer_domain(&domain) {
                return Err(StartError::Other(format!(
                    "anybody can have an address of {domain}: invite people instead \
                     (auth-svc workspace invite, or public-invite on)"
                )));
            }
            workspace::approve_domain(&pool, workspace.id, &domain, !remove)
                .await
                .map_err(StartError::other)?;
            let verb = if remove { "no longer lets" } else { "lets" };
            Ok(format!("{} {verb} {domain} in", workspace.name))
        }
        Command::Invite {
            email,
            workspace,
            expires_in,
        } => {
            let workspace = find(&pool, workspace.as_deref()).await?;
            let email: Handle = email.parse().map_err(StartError::other)?;
            allowed_by_deployment(environment, &email)?;
            let lifetime = parse_duration(&expires_in).map_err(StartError::other)?;
            invite(
                environment,
                &pool,
                &workspace,
                &email,
                lifetime,
                &randomness,
            )
            .await
        }
        Command::PublicInvite { switch, workspace } => {
            let workspace = find(&pool, workspace.as_deref()).await?;
            let token =
                workspace::set_public_invite(&pool, workspace.id, switch == "on", &randomness)
                    .await
                    .map_err(StartError::other)?;
            match token {
                None => Ok(format!("the public link of {} is off", workspace.name)),
                Some(token) => links(environment, "workspaceInviteHash", &token),
            }
        }
    }
}

async fn find(pool: &PgPool, reference: Option<&str>) -> Result<Workspace, StartError> {
    workspace::by_reference(pool, reference)
        .await
        .map_err(StartError::other)?
        .ok_or_else(|| {
            StartError::Other(
                "no such workspace, or several: name it by id or subdomain with --workspace \
                 (auth-svc workspace list shows them)"
                    .to_owned(),
            )
        })
}

async fn list(pool: &PgPool) -> Result<String, StartError> {
    let workspaces = workspace::list(pool).await.map_err(StartError::other)?;
    let mut text = String::new();
    for workspace in &workspaces {
        let _ = writeln!(
            text,
            "{}  {}  host: {}  members: {}  public link: {}  domains: {}",
            workspace.id,
            workspace.name,
            workspace.subdomain.as_deref().unwrap_or("-"),
            workspace.members,
            if workspace.public_invite_enabled {
                "on"
            } else {
                "off"
            },
            if workspace.domains.is_empty() {
                "-".to_owned()
            } else {
                workspace.domains.join(",")
            },
        );
    }
    if workspaces.is_empty() {
        "no workspace yet: auth-svc workspace create <name>".clone_into(&mut text);
    }
    Ok(text)
}

async fn invite(
    environment: &Environment,
    pool: &PgPool,
    workspace: &Workspace,
    email: &Handle,
    lifetime: Duration,
    randomness: &Randomness,
) -> Result<String, StartError> {
    let (token, expires_at) = workspace::invite(pool, workspace.id, email, lifetime, randomness)
        .await
        .map_err(StartError::other)?;
    let links = links(environment, "workspacePersonalInviteToken", &token)?;
    let until = expires_at.format(&Rfc3339).unwrap_or_default();
    Ok(format!("for {email}, once, until {until}:\n{links}"))
}

/// The deployment's list bounds invitations too: better said now than at the
/// person's sign-in.
fn allowed_by_deployment(environment: &Environment, email: &Handle) -> Result<(), StartError> {
    const NAME: &str = "AUTH_ALLOWED_DOMAINS";
    let list = DomainList::parse(&environment.list(NAME)?)
        .map_err(|error| ConfigError::new(NAME, error.to_string()))?;
    if list.is_empty() || list.contains(email.domain()) {
        Ok(())
    } else {
        Err(ConfigError::new(NAME, format!("does not contain {}", email.domain())).into())
    }
}

/// One link per way to sign in, or the parameter alone where this shell does
/// not know `PUBLIC_URL`.
fn links(environment: &Environment, parameter: &str, token: &str) -> Result<String, StartError> {
    let Some(public) = environment.optional_parsed::<WebOrigin>("PUBLIC_URL")? else {
        return Ok(format!("{parameter}={token}"));
    };
    let mut url = public.url().clone();
    url.query_pairs_mut().append_pair(parameter, token);
    Ok(url.to_string())
}
