//! Taking a member out of a workspace: membership, sessions and what was handed
//! over of them, and the event that disconnects accounts, in ONE transaction.

use latchkey_domain::{EventId, UserId, WorkspaceId};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::MemberRemoved;
use latchkey_proto::timestamp;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::login::domain_list::DomainList;
use crate::store::identity;
use crate::store::session::list;
use crate::store::workspace::member::{self, Named};
use crate::store::workspace::{domain, invite};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Removal<'a> {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The member's address or user id.
    pub who: &'a str,
    /// Leave the accounts that the person connected there connected.
    pub keep_connections: bool,
    /// Take the last administrator out too.
    pub force: bool,
}

/// What a deployment lets in where a workspace has no list of its own.
#[derive(Debug, Clone, Copy)]
pub struct Deployment<'a> {
    /// `AUTH_ALLOWED_DOMAINS`.
    pub domains: &'a DomainList,
    /// `IS_MULTIWORKSPACE_ENABLED`.
    pub multi_workspace: bool,
}

/// Why a member was not taken out.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Nobody of the workspace has this address or id.
    #[error("nobody of the workspace has this address or user id")]
    NotAMember,
    /// Several members show the address.
    #[error("several members show this address: name one by user id")]
    Several,
    /// Nobody could administer the workspace afterwards.
    #[error(
        "this is the last administrator: afterwards nobody could invite people, approve domains \
         or remove members, and whoever joins next would not become one"
    )]
    LastAdministrator,
    /// The database's refusal.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How a removed person can come in again. Nobody is barred: they join by the
/// rules of the workspace, like everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayBack {
    /// Their address is of a domain that is let in.
    Domain(String),
    /// The public link is on.
    PublicLink,
    /// A personal invitation to their address is pending.
    Invitation(String),
}

impl WayBack {
    /// Its name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Domain(_) => "DOMAIN",
            Self::PublicLink => "PUBLIC_LINK",
            Self::Invitation(_) => "INVITATION",
        }
    }

    /// What it is, and what closes it.
    pub fn text(&self) -> String {
        match self {
            Self::Domain(domain) => format!(
                "They can join again by signing in, because the workspace lets {domain} in. \
                 Remove the domain to prevent that."
            ),
            Self::PublicLink => "The public invitation link is on: whoever has it can join. \
                 Switch it off or make a new one."
                .to_owned(),
            Self::Invitation(email) => format!(
                "An invitation to {email} is still pending. Withdraw it to prevent that they join \
                 again by it."
            ),
        }
    }
}

/// A removal that is done when its transaction commits.
#[derive(Debug)]
pub struct Removed {
    /// The person.
    pub user: UserId,
    /// Their address: a label.
    pub email: String,
    /// Sessions that ended.
    pub sessions: u64,
    /// How they can come in again.
    pub ways_back: Vec<WayBack>,
}

impl Removed {
    /// What the audit says was removed.
    pub fn target(&self, kept_connections: bool) -> String {
        let connections = if kept_connections {
            "connections kept"
        } else {
            "connections ended"
        };
        format!("{} {}, {connections}", self.user, self.email)
    }

    /// For programs.
    pub fn json(&self, kept_connections: bool) -> Value {
        let ways: Vec<Value> = self
            .ways_back
            .iter()
            .map(|way| json!({ "by": way.code(), "message": way.text() }))
            .collect();
        json!({
            "userId": self.user,
            "email": self.email,
            "sessionsEnded": self.sessions,
            "connections": if kept_connections { "KEPT" } else { "DISCONNECTING" },
            "canJoinAgain": ways,
        })
    }
}

/// Takes a member out.
///
/// # Errors
/// See [`RemovalError`]; nothing must be committed then.
pub async fn remove(
    connection: &mut PgConnection,
    removal: Removal<'_>,
    deployment: Deployment<'_>,
) -> Result<Removed, RemovalError> {
    let Removal { workspace, who, .. } = removal;
    // Locked in one order: of two administrators who remove each other, the
    // second sees that it is the last.
    let administrators = member::lock_administrators(&mut *connection, workspace).await?;
    let mut named = member::named(&mut *connection, workspace, who).await?;
    let (person, others) = (named.pop(), named);
    let Some(Named { user_id, email }) = person else {
        return Err(RemovalError::NotAMember);
    };
    if !others.is_empty() {
        return Err(RemovalError::Several);
    }
    if administrators == [user_id] && !removal.force {
        return Err(RemovalError::LastAdministrator);
    }
    // Waits for a sign-in of this person that is being written; whoever comes
    // later finds no membership.
    if !member::remove(&mut *connection, workspace, user_id).await? {
        return Err(RemovalError::NotAMember);
    }
    // After the wait: later than everything that the person authenticated.
    let removed_at = identity::now(&mut *connection).await?;
    let sessions = list::end_all_in(connection, workspace, user_id.into()).await?;
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
        ways_back: ways_back(connection, workspace, user_id, deployment).await?,
        email,
        sessions,
    })
}

async fn ways_back(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Uuid,
    deployment: Deployment<'_>,
) -> Result<Vec<WayBack>, sqlx::Error> {
    // Addresses that a provider vouched for: only these let anybody in.
    let addresses = member::vouched_addresses(&mut *connection, workspace, user).await?;
    let own = DomainList::of_rows(domain::approved_names(&mut *connection, workspace).await?);
    let list = if own.is_empty() && !deployment.multi_workspace {
        deployment.domains
    } else {
        &own
    };
    let public = invite::is_public_on(connection, workspace).await?;
    let mut ways = Vec::new();
    for address in addresses {
        let domain = WayBack::Domain(address.domain.clone());
        if list.contains(&address.domain) && !ways.contains(&domain) {
            ways.push(domain);
        }
        if address.invited {
            ways.push(WayBack::Invitation(address.email));
        }
    }
    if public {
        ways.push(WayBack::PublicLink);
    }
    Ok(ways)
}
