//! Changes by administrators and operators, each with its audit record in the
//! same transaction.

use latchkey_domain::{SessionId, UserId, WorkspaceId};
use latchkey_service::telemetry;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::session::Session;

/// How an administrator asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By the session API.
    Http,
    /// On a page.
    Page,
}

/// Who changes something. For an operator the database's own role is recorded
/// with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A member who administers the workspace.
    Administrator {
        /// The person.
        user: UserId,
        /// Their session.
        session: SessionId,
        /// How they asked.
        channel: Channel,
    },
    /// Somebody who runs a command with the database's URL.
    Operator,
    /// Whoever holds a verification link.
    Link,
}

impl Actor {
    /// The administrator of a session.
    pub const fn of(session: &Session, channel: Channel) -> Self {
        Self::Administrator {
            user: session.user,
            session: session.id,
            channel,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Administrator { .. } => "ADMINISTRATOR",
            Self::Operator => "OPERATOR",
            Self::Link => "LINK",
        }
    }

    const fn channel(self) -> &'static str {
        match self {
            Self::Administrator {
                channel: Channel::Http,
                ..
            } => "HTTP",
            Self::Administrator {
                channel: Channel::Page,
                ..
            }
            | Self::Link => "PAGE",
            Self::Operator => "COMMAND",
        }
    }
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A workspace was created; its name.
    WorkspaceCreated,
    /// A domain waits for its proof.
    DomainClaimed,
    /// A link that proves a domain was made; the mailbox that it is for.
    DomainLinkMade,
    /// A domain was proven and is let in.
    DomainVerified,
    /// A domain is let in on the operator's word.
    DomainApproved,
    /// A domain is no longer let in.
    DomainRemoved,
    /// A personal invitation was made; its id and address.
    InvitationMade,
    /// A personal invitation was withdrawn; its id.
    InvitationRevoked,
    /// The public link was switched on, with a new token.
    PublicLinkOn,
    /// The public link was switched off.
    PublicLinkOff,
    /// The public link has a new token.
    PublicLinkRotated,
    /// A host waits for its proof.
    HostClaimed,
    /// The workspace is at a host that was proven.
    HostVerified,
    /// The workspace is at a host on the operator's word.
    HostApproved,
    /// The workspace has no host of its own any more.
    HostRemoved,
    /// A member's role; the person and the role.
    RoleChanged,
    /// A member was taken out; the person, and whether accounts stayed connected.
    MemberRemoved,
}

impl Action {
    /// Value of `auth.audit.action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkspaceCreated => "workspace.created",
            Self::DomainClaimed => "domain.claimed",
            Self::DomainLinkMade => "domain.link_made",
            Self::DomainVerified => "domain.verified",
            Self::DomainApproved => "domain.approved",
            Self::DomainRemoved => "domain.removed",
            Self::InvitationMade => "invitation.made",
            Self::InvitationRevoked => "invitation.revoked",
            Self::PublicLinkOn => "public_link.on",
            Self::PublicLinkOff => "public_link.off",
            Self::PublicLinkRotated => "public_link.rotated",
            Self::HostClaimed => "host.claimed",
            Self::HostVerified => "host.verified",
            Self::HostApproved => "host.approved",
            Self::HostRemoved => "host.removed",
            Self::RoleChanged => "member.role_changed",
            Self::MemberRemoved => "member.removed",
        }
    }
}

/// A change under way: what is done [`on`](Self::on) it happens with its record
/// or not at all.
#[derive(Debug)]
pub struct Change {
    transaction: Transaction<'static, Postgres>,
    actor: Actor,
}

impl Change {
    /// Begins a change.
    ///
    /// # Errors
    /// The database's refusal.
    pub async fn begin(pool: &PgPool, actor: Actor) -> Result<Self, sqlx::Error> {
        Ok(Self {
            transaction: pool.begin().await?,
            actor,
        })
    }

    /// The transaction of the change.
    pub fn on(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Writes the record and commits. `target` must not hold a secret.
    ///
    /// # Errors
    /// The database's refusal; nothing was changed.
    pub async fn commit(
        mut self,
        workspace: WorkspaceId,
        action: Action,
        target: &str,
    ) -> Result<(), sqlx::Error> {
        let (user, session) = match self.actor {
            Actor::Administrator { user, session, .. } => (Some(user), Some(session)),
            Actor::Operator | Actor::Link => (None, None),
        };
        sqlx::query(
            "INSERT INTO auth.audit
                 (id, actor, way, user_id, session_id, workspace_id, action, target, trace_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(Uuid::now_v7())
        .bind(self.actor.kind())
        .bind(self.actor.channel())
        .bind(user.map(|user| user.as_uuid()))
        .bind(session.map(|session| session.as_uuid()))
        .bind(workspace.as_uuid())
        .bind(action.as_str())
        .bind(target)
        .bind(telemetry::current_trace_id().map(|id| id.to_string()))
        .execute(&mut *self.transaction)
        .await?;
        self.transaction.commit().await
    }
}

/// A record in a list.
#[derive(Debug, Clone, FromRow)]
pub struct Recorded {
    /// When.
    pub at: OffsetDateTime,
    /// ADMINISTRATOR, OPERATOR or LINK.
    pub actor: String,
    /// HTTP, PAGE or COMMAND.
    pub way: String,
    /// The administrator.
    pub user_id: Option<Uuid>,
    /// The administrator's address, while the person is known.
    pub email: Option<String>,
    /// Their session.
    pub session_id: Option<Uuid>,
    /// Role of the database connection.
    pub db_role: String,
    /// What was changed.
    pub action: String,
    /// Of what.
    pub target: String,
    /// The trace that the change belongs to.
    pub trace_id: Option<String>,
}

/// Records of a workspace, the newest first.
///
/// # Errors
/// The database's refusal.
pub async fn records(
    executor: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    limit: i64,
) -> Result<Vec<Recorded>, sqlx::Error> {
    // Index: audit_workspace_id; ids sort by time.
    sqlx::query_as(
        "SELECT a.at, a.actor, a.way, a.user_id, u.email, a.session_id, a.db_role, a.action,
                a.target, a.trace_id
         FROM auth.audit a LEFT JOIN auth.app_user u ON u.id = a.user_id
         WHERE a.workspace_id = $1 ORDER BY a.id DESC LIMIT $2",
    )
    .bind(workspace.as_uuid())
    .bind(limit)
    .fetch_all(executor)
    .await
}

/// Takes records away that are older than this, as a person of
/// `latchkey_operator`: auth-svc's own role cannot. Answers how many.
///
/// # Errors
/// Less than 30 days, or the role may not.
pub async fn prune(
    executor: impl PgExecutor<'_>,
    older_than: std::time::Duration,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT auth.audit_prune(make_interval(secs => $1))")
        .bind(older_than.as_secs_f64())
        .fetch_one(executor)
        .await
}
