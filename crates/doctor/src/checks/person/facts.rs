//! What the database knows of one person.

use latchkey_domain::Handle;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// What the database knows of one person.
#[derive(Debug, Default, Serialize)]
pub(super) struct Facts {
    pub identities: Vec<Identity>,
    /// The workspaces that the person could sign in to.
    pub workspaces: Vec<Workspace>,
    pub memberships: Vec<Membership>,
    pub invitations: Vec<Invitation>,
    pub accounts: Vec<Account>,
    pub channels: Vec<Channel>,
    /// The last calls of a week about these accounts, for tokens and about channels, the newest
    /// first.
    pub calls: Vec<Call>,
    /// Events that auth-svc has not published, of anybody.
    pub events_waiting: i64,
}

/// The person at a provider.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Identity {
    pub provider: String,
    pub user_id: Uuid,
    pub email_verified: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub last_sign_in_at: OffsetDateTime,
}

/// A workspace.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Workspace {
    pub id: Uuid,
    pub name: String,
    pub public_invite_enabled: bool,
    pub domains: Vec<String>,
}

/// A membership of the person.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Membership {
    pub workspace_id: Uuid,
    pub workspace: String,
    pub user_id: Uuid,
    pub role: String,
    pub joined_by: String,
    pub connects_at_sign_in: bool,
}

/// An invitation that can still be used.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Invitation {
    pub workspace_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// An account with the state of its grant.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Account {
    pub id: Uuid,
    pub provider: String,
    pub handle: String,
    #[serde(with = "time::serde::rfc3339")]
    pub connected_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub disconnected_at: Option<OffsetDateTime>,
    /// `None` if no grant is stored.
    pub granted_scopes: Option<Vec<String>>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_refreshed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub auth_failed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub erased_at: Option<OffsetDateTime>,
    pub failure_class: Option<String>,
    /// The key that sealed the refresh token; `None` if there is no refresh token.
    pub refresh_token_key_id: Option<String>,
}

/// A channel of an account.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Channel {
    pub account_id: Uuid,
    pub kind: String,
    pub sync_status: String,
    pub sync_stage: String,
    #[serde(with = "time::serde::rfc3339")]
    pub sync_stage_started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub synced_at: Option<OffsetDateTime>,
    pub last_failure: Option<String>,
}

/// A call about an account.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct Call {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub caller: String,
    pub method: String,
    pub outcome: String,
    pub reason: Option<String>,
}

impl Facts {
    /// Reads what is known of `address`. `workspace` is the id, host label or name of the only
    /// workspace that counts.
    pub(super) async fn read(
        pool: &PgPool,
        address: &Handle,
        workspace: Option<&str>,
    ) -> Result<Self, sqlx::Error> {
        let identities: Vec<Identity> = sqlx::query_as(
            "SELECT provider, user_id, email_verified, last_sign_in_at FROM operators.identity
             WHERE lower(email) = $1 ORDER BY last_sign_in_at DESC",
        )
        .bind(address.as_str())
        .fetch_all(pool)
        .await?;
        let workspaces = sqlx::query_as(
            "SELECT id, name, public_invite_enabled, domains FROM operators.workspace
             WHERE $1::text IS NULL OR id::text = $1 OR subdomain = $1 OR custom_domain = $1
                OR name = $1
             ORDER BY name LIMIT 1000",
        )
        .bind(workspace)
        .fetch_all(pool)
        .await?;
        let users: Vec<Uuid> = identities.iter().map(|identity| identity.user_id).collect();
        let memberships = sqlx::query_as(
            "SELECT m.workspace_id, w.name AS workspace, m.user_id, m.role, m.joined_by,
                    m.connects_at_sign_in
             FROM operators.member m JOIN operators.workspace w ON w.id = m.workspace_id
             WHERE m.user_id = ANY ($1) OR lower(m.email) = $2
             ORDER BY m.joined_at",
        )
        .bind(&users)
        .bind(address.as_str())
        .fetch_all(pool)
        .await?;
        let invitations = sqlx::query_as(
            "SELECT workspace_id, expires_at FROM operators.invitation
             WHERE lower(email) = $1 AND used_at IS NULL AND revoked_at IS NULL
               AND expires_at > now()",
        )
        .bind(address.as_str())
        .fetch_all(pool)
        .await?;
        let accounts: Vec<Account> = sqlx::query_as(
            "SELECT id, provider, handle, connected_at, disconnected_at, granted_scopes,
                    last_refreshed_at, auth_failed_at, erased_at, failure_class,
                    refresh_token_key_id
             FROM operators.account
             WHERE lower(handle) = $1 OR user_id = ANY ($2)
             ORDER BY connected_at",
        )
        .bind(address.as_str())
        .bind(&users)
        .fetch_all(pool)
        .await?;
        let ids: Vec<Uuid> = accounts.iter().map(|account| account.id).collect();
        let channels = sqlx::query_as(
            "SELECT account_id, kind, sync_status, sync_stage, sync_stage_started_at, synced_at,
                    last_failure
             FROM operators.channel WHERE account_id = ANY ($1) ORDER BY account_id, kind DESC",
        )
        .bind(&ids)
        .fetch_all(pool)
        .await?;
        // Indexes: audit_at_and_account, audit_at_and_workspace. Both are ranges of time: a row is
        // written for every token that is given.
        let calls = sqlx::query_as(
            "SELECT at, caller, method, outcome, reason FROM (
                 SELECT at, caller, method, outcome, reason FROM vault.audit
                 WHERE account_id = ANY ($1) AND at > now() - interval '7 days'
                 UNION ALL
                 SELECT at, caller, method, outcome, reason FROM sync.audit
                 WHERE account_id = ANY ($1) AND at > now() - interval '7 days') AS calls
             ORDER BY at DESC LIMIT 10",
        )
        .bind(&ids)
        .fetch_all(pool)
        .await?;
        let events_waiting =
            sqlx::query_scalar("SELECT count(*) FROM operators.outbox WHERE service = 'auth-svc'")
                .fetch_one(pool)
                .await?;
        Ok(Self {
            identities,
            workspaces,
            memberships,
            invitations,
            accounts,
            channels,
            calls,
            events_waiting,
        })
    }

    /// The same for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.identities.is_empty() {
            lines.push("never signed in".to_owned());
        }
        lines.extend(self.identities.iter().map(|identity| {
            let verified = if identity.email_verified { "" } else { "not " };
            let last = at(identity.last_sign_in_at);
            format!(
                "{}: address {verified}verified, last sign-in {last}",
                identity.provider
            )
        }));
        lines.extend(self.memberships.iter().map(|one| {
            format!(
                "{} of {}, joined by {}",
                one.role, one.workspace, one.joined_by
            )
        }));
        for account in &self.accounts {
            lines.push(account.line());
            let channels = self.channels.iter();
            let own = channels.filter(|channel| channel.account_id == account.id);
            lines.extend(own.map(Channel::line));
        }
        lines.extend(self.calls.iter().map(|call| {
            let reason = call.reason.as_deref().unwrap_or_default();
            let Call {
                caller,
                method,
                outcome,
                ..
            } = call;
            let call = format!("{} {caller} {method} {outcome} {reason}", at(call.at));
            call.trim_end().to_owned()
        }));
        lines
    }
}

impl Account {
    fn line(&self) -> String {
        let state = match (
            self.disconnected_at,
            &self.granted_scopes,
            self.auth_failed_at,
        ) {
            (Some(time), _, _) => format!("disconnected {}", at(time)),
            (None, None, _) => "no grant".to_owned(),
            (None, Some(_), Some(time)) => format!("grant dead since {}", at(time)),
            (None, Some(_), None) if self.failure_class.is_some() => "grant fails".to_owned(),
            (None, Some(_), None) => "grant works".to_owned(),
        };
        let class = self.failure_class.as_deref().unwrap_or_default();
        let refreshed = self
            .last_refreshed_at
            .map(|time| format!(", refreshed {}", at(time)))
            .unwrap_or_default();
        let Self {
            id,
            provider,
            handle,
            ..
        } = self;
        let state = format!("{state} {class}");
        format!(
            "account {id}: {provider} {handle}, {}{refreshed}",
            state.trim_end()
        )
    }
}

impl Channel {
    fn line(&self) -> String {
        let since = at(self.sync_stage_started_at);
        let Self {
            kind,
            sync_status,
            sync_stage,
            ..
        } = self;
        let synced = self
            .synced_at
            .map(|time| format!(", synced {}", at(time)))
            .unwrap_or_default();
        format!("channel {kind}: {sync_status}, {sync_stage} since {since}{synced}")
    }
}

/// A time in a line, to the second.
fn at(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}
