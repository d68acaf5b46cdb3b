//! Removes a member from a workspace in one transaction: the membership, the sessions with
//! their tokens, and the event that disconnects the accounts.

use latchkey_domain::{EventId, UserId, WorkspaceId};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::MemberRemoved;
use latchkey_proto::timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain_list::DomainList;
use crate::domain_policy::DeploymentPolicy;
use crate::store::workspace::member::{self, Named};
use crate::store::workspace::{domain, invite};
use crate::store::{clock, ended_sessions};

/// What to remove.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The member's address or user id.
    pub who: &'a str,
    /// Leaves the accounts connected that the person connected in the workspace.
    pub keep_connections: bool,
    /// Also removes the last administrator.
    pub force: bool,
}

/// Why a member was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// No member has this address or id.
    #[error("no member of the workspace has this address or user id")]
    NotAMember,
    /// Several members have this address.
    #[error("several members have this address: name one by user id")]
    Several,
    /// The workspace would have no administrator.
    #[error(
        "this is the last administrator: afterwards nobody could invite people, approve domains \
         or remove members, and whoever joins next would not become one"
    )]
    LastAdministrator,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How a removed person can join again. Nobody is banned: they can join by the same rules
/// as everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejoinOption {
    /// The workspace approved the domain of their address.
    Domain(String),
    /// The public invitation link is enabled.
    PublicLink,
    /// A personal invitation to their address is pending.
    Invitation(String),
}

impl RejoinOption {
    /// Returns the name in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Domain(_) => "DOMAIN",
            Self::PublicLink => "PUBLIC_LINK",
            Self::Invitation(_) => "INVITATION",
        }
    }

    /// Explains the option, and how to prevent it.
    pub fn text(&self) -> String {
        match self {
            Self::Domain(domain) => format!(
                "They can join again by signing in, because the domain {domain} is approved. \
                 Remove the domain to prevent that."
            ),
            Self::PublicLink => {
                "The public invitation link is on, so everybody who has it can join. \
                 Turn it off or replace it to prevent that."
                    .to_owned()
            }
            Self::Invitation(email) => format!(
                "An invitation to {email} is still pending. Withdraw it to prevent that they use \
                 it."
            ),
        }
    }
}

/// A removal, which takes effect when its transaction commits.
#[derive(Debug)]
pub struct Removed {
    /// The person.
    pub user: UserId,
    /// E-mail address: a label, not an identifier.
    pub email: String,
    /// Number of sessions that ended.
    pub sessions: u64,
    /// How they can join again.
    pub rejoin_options: Vec<RejoinOption>,
}

impl Removed {
    /// Returns the target for the audit record.
    pub fn target(&self, kept_connections: bool) -> String {
        let connections = if kept_connections {
            "connections kept"
        } else {
            "connections ended"
        };
        format!("{} {}, {connections}", self.user, self.email)
    }

    /// Returns the removal as JSON.
    pub fn json(&self, kept_connections: bool) -> Value {
        let way = |option: &RejoinOption| WayBack {
            by: option.code(),
            message: option.text(),
        };
        json!(RemovedMember {
            user_id: self.user.as_uuid(),
            email: self.email.clone(),
            sessions_ended: self.sessions,
            connections: if kept_connections {
                "KEPT"
            } else {
                "DISCONNECTING"
            },
            can_join_again: self.rejoin_options.iter().map(way).collect(),
        })
    }
}

/// A member who was removed, in JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedMember {
    /// The person.
    user_id: Uuid,
    /// Mail address: a label, not an identifier.
    email: String,
    /// Number of sessions that ended.
    sessions_ended: u64,
    /// What happens to the accounts that they connected in the workspace: `KEPT` or
    /// `DISCONNECTING`.
    #[schema(pattern = "^(KEPT|DISCONNECTING)$")]
    connections: &'static str,
    /// How they can join again, because nobody is banned.
    can_join_again: Vec<WayBack>,
}

/// How a removed person can join again.
#[derive(Debug, Serialize, ToSchema)]
struct WayBack {
    /// The rule by which they can: `DOMAIN`, `PUBLIC_LINK` or `INVITATION`.
    #[schema(pattern = "^(DOMAIN|PUBLIC_LINK|INVITATION)$")]
    by: &'static str,
    /// What it means, and how to prevent it.
    message: String,
}

/// Finds the member with this address or user id.
///
/// # Errors
/// Returns an error if no member or several members have it, or the database fails.
pub async fn find_member(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    who: &str,
) -> Result<Named, RemovalError> {
    let mut named = member::named(executor, workspace, who).await?;
    let person = named.pop().ok_or(RemovalError::NotAMember)?;
    if named.is_empty() {
        Ok(person)
    } else {
        Err(RemovalError::Several)
    }
}

/// Removes a member.
///
/// # Errors
/// See [`RemovalError`]. The caller must not commit then.
pub async fn remove(
    connection: &mut PgConnection,
    removal: Removal<'_>,
    deployment: DeploymentPolicy<'_>,
) -> Result<Removed, RemovalError> {
    let Removal { workspace, who, .. } = removal;
    let administrators = member::lock_administrators(&mut *connection, workspace).await?;
    let Named { user_id, email } = find_member(&mut *connection, workspace, who).await?;
    if administrators == [user_id] && !removal.force {
        return Err(RemovalError::LastAdministrator);
    }
    // Waits for a sign-in of this person that is in progress. A later sign-in finds no
    // membership.
    if !member::remove(&mut *connection, workspace, user_id).await? {
        return Err(RemovalError::NotAMember);
    }
    // The time after the wait is later than every earlier sign-in of the person.
    let removed_at = clock::now(&mut *connection).await?;
    let sessions = ended_sessions::end_all(connection, workspace, user_id.into()).await?;
    let event = MemberRemoved {
        workspace_id: workspace.to_string(),
        user_id: user_id.to_string(),
        removed_at: Some(timestamp(removed_at)),
        keep_connections: removal.keep_connections,
    };
    let message = Message::event(EventId::generate(), user_id, &event);
    outbox::enqueue(&mut *connection, Schema::Auth, message).await?;
    Ok(Removed {
        user: user_id.into(),
        rejoin_options: rejoin_options(connection, workspace, user_id, deployment).await?,
        email,
        sessions,
    })
}

async fn rejoin_options(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Uuid,
    deployment: DeploymentPolicy<'_>,
) -> Result<Vec<RejoinOption>, sqlx::Error> {
    // Only verified addresses let a person join.
    let addresses = member::vouched_addresses(&mut *connection, workspace, user).await?;
    let own = DomainList::of_rows(domain::approved_names(&mut *connection, workspace).await?);
    let list = deployment.joining_list(&own);
    let public = invite::is_public_on(connection, workspace).await?;
    let mut ways = Vec::new();
    for address in addresses {
        // Not even an invitation admits an address that the deployment excludes.
        if !deployment.allows(Some(&address.domain)) {
            continue;
        }
        let domain = RejoinOption::Domain(address.domain.clone());
        if list.contains(&address.domain) && !ways.contains(&domain) {
            ways.push(domain);
        }
        if address.invited {
            ways.push(RejoinOption::Invitation(address.email));
        }
    }
    if public {
        ways.push(RejoinOption::PublicLink);
    }
    Ok(ways)
}
