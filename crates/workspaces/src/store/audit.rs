//! Changes by administrators and operators. Each change is written together with its audit
//! record in one transaction.

use latchkey_domain::{SessionId, UserId, WorkspaceId};
use latchkey_service::telemetry;
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where an administrator made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Over the HTTP API of the workspace.
    Http,
    /// On an account page.
    Page,
}

/// Who makes a change. For an operator, the role of the database connection is recorded
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A member who administers the workspace.
    Administrator {
        /// The person.
        user: UserId,
        /// Their session.
        session: SessionId,
        /// Where they made the change.
        channel: Channel,
    },
    /// A person who runs a command with `DATABASE_URL`.
    Operator,
    /// The holder of a verification link.
    Link,
}

impl Actor {
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

/// The kind of a change. The variants say what the audit record names as its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A workspace was created; target: its name.
    WorkspaceCreated,
    /// A domain was claimed and is not verified yet.
    DomainClaimed,
    /// A verification link was created; target: the mailbox that it is for.
    DomainLinkMade,
    /// A domain was verified and approved.
    DomainVerified,
    /// An operator approved a domain.
    DomainApproved,
    /// A domain was removed from the approved domains.
    DomainRemoved,
    /// A personal invitation was created; target: its id and address.
    InvitationMade,
    /// A personal invitation was revoked; target: its id.
    InvitationRevoked,
    /// The public invitation link was enabled with a new token.
    PublicLinkOn,
    /// The public invitation link was disabled.
    PublicLinkOff,
    /// The public invitation link got a new token.
    PublicLinkRotated,
    /// A custom host was claimed and is not verified yet.
    HostClaimed,
    /// A custom host was verified and is used.
    HostVerified,
    /// An operator approved a custom host.
    HostApproved,
    /// The custom host was removed.
    HostRemoved,
    /// The role of a member was changed; target: the person and the role.
    RoleChanged,
    /// A member was removed; target: the person, and whether their accounts stay connected.
    MemberRemoved,
}

impl Action {
    /// Returns the value of the column `auth.audit.action`.
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

/// A change that has begun. What is written through [`connection`](Self::connection) is
/// committed together with the audit record, or not at all.
#[derive(Debug)]
pub struct Change {
    transaction: Transaction<'static, Postgres>,
    actor: Actor,
}

impl Change {
    /// Begins a change.
    ///
    /// # Errors
    /// Returns the database's error.
    pub async fn begin(pool: &PgPool, actor: Actor) -> Result<Self, sqlx::Error> {
        // In a task, because `BEGIN` must not be left before it is answered: see
        // `BoundedConnection`.
        let pool = pool.clone();
        let begun = tokio::spawn(async move { pool.begin().await }).await;
        let transaction = begun.map_err(|_| sqlx::Error::WorkerCrashed)??;
        Ok(Self { transaction, actor })
    }

    /// Returns the connection of the change's transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Writes the audit record and commits. `target` must not contain a secret.
    ///
    /// # Errors
    /// Returns the database's error; then nothing was changed.
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

/// An audit record in a list.
#[derive(Debug, Clone, FromRow)]
pub struct Recorded {
    /// When the change was made.
    pub at: OffsetDateTime,
    /// ADMINISTRATOR, OPERATOR or LINK.
    pub actor: String,
    /// HTTP, PAGE or COMMAND.
    pub way: String,
    /// The administrator who made the change.
    pub user_id: Option<Uuid>,
    /// The administrator's address, as long as the person exists.
    pub email: Option<String>,
    /// The administrator's session.
    pub session_id: Option<Uuid>,
    /// Role of the database connection.
    pub db_role: String,
    /// Kind of the change.
    pub action: String,
    /// Target of the change.
    pub target: String,
    /// Id of the trace that the change belongs to.
    pub trace_id: Option<String>,
}

/// Returns the audit records of a workspace, the newest first.
///
/// # Errors
/// Returns the database's error.
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

/// Deletes audit records that are older than `older_than` and returns their number. Only the role
/// `latchkey_operator` may do this, not the role of auth-svc.
///
/// # Errors
/// Returns an error if the age is below 30 days, or the role lacks the permission.
pub async fn prune(pool: &PgPool, older_than: std::time::Duration) -> Result<i64, sqlx::Error> {
    let statement = "SELECT auth.audit_prune(make_interval(secs => $1), $2)";
    latchkey_service::database::prune_audit(pool, statement, older_than).await
}
