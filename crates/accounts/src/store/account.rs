//! Connected accounts (`sync.connected_account`).

use latchkey_domain::{AccountId, GrantBinding, Handle, ProviderName, UserId, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;

use super::row;

/// A row of `sync.connected_account`.
#[derive(Debug, Clone)]
pub struct Account {
    /// Connected account.
    pub id: AccountId,
    /// Workspace, owner and identity at the provider: what the grant is sealed for.
    pub binding: GrantBinding,
    /// Mailbox address. A label: text as it is stored, so that an account stays
    /// readable if somebody edited the label.
    pub handle: String,
    /// The address that was verified; `None` if none was.
    pub vouched_handle: Option<String>,
    /// Name to show; may be empty.
    pub display_name: String,
    /// When it was connected for the first time.
    pub connected_at: OffsetDateTime,
    /// When it was disconnected; `None` while it is connected.
    pub disconnected_at: Option<OffsetDateTime>,
}

impl FromRow<'_, PgRow> for Account {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row::id(row, "id")?,
            binding: GrantBinding {
                workspace: row::id(row, "workspace_id")?,
                user: row::id(row, "user_id")?,
                provider: row::text(row, "provider")?,
                issuer: row::text(row, "issuer")?,
                subject: row::text(row, "subject")?,
            },
            handle: row.try_get("handle")?,
            vouched_handle: row.try_get("vouched_handle")?,
            display_name: row.try_get("display_name")?,
            connected_at: row.try_get("connected_at")?,
            disconnected_at: row.try_get("disconnected_at")?,
        })
    }
}

impl Account {
    /// The part that a policy checks.
    pub fn location(&self) -> AccountLocation {
        AccountLocation {
            id: self.id,
            workspace: self.binding.workspace,
            provider: self.binding.provider.clone(),
        }
    }

    /// Returns `true` if the address was verified to be this person's.
    pub fn handle_verified(&self) -> bool {
        self.vouched_handle.as_deref() == Some(self.handle.as_str())
    }
}

/// Columns of an [`Account`], of `sync.connected_account a`.
macro_rules! columns {
    () => {
        "a.id, a.workspace_id, a.user_id, a.provider, a.issuer, a.subject, a.handle,
         a.vouched_handle, a.display_name, a.connected_at, a.disconnected_at"
    };
}

/// Beginning of a statement that returns [`AccountView`]s.
macro_rules! view {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            ", c.granted_scopes, c.auth_failed_at,
             CASE WHEN c.refresh_token_version = c.version AND c.auth_failed_at IS NULL
                  THEN c.refresh_token_expires_at END AS grant_expires_at
             FROM sync.connected_account a
             LEFT JOIN vault.credential c ON c.account_id = a.id"
        )
    };
}

/// The account of a sign-in.
#[derive(Debug, Clone)]
pub struct SignedInAccount {
    /// The account, whose row is locked.
    pub account: Account,
    /// Whether this sign-in created it: then it has neither a credential nor channels.
    pub is_new: bool,
}

/// Creates the account or finds it by its unique key, and locks its row until the
/// transaction ends, so that deliveries for one account wait for each other. The labels
/// are those of the newest sign-in. A sign-in that does not say whether its address is
/// verified keeps what is stored about the same address.
///
/// Returns `None`, and writes nothing, if the person was removed from the workspace after the
/// sign-in. The transaction must have the person's lock before this statement
/// ([`record_first_delivery_of_sign_in`](super::inbox::record_first_delivery_of_sign_in)).
pub async fn upsert_unless_removed(
    connection: &mut PgConnection,
    binding: &GrantBinding,
    (handle, verified): (&Handle, Option<bool>),
    display_name: &str,
    authenticated_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Option<SignedInAccount>, sqlx::Error> {
    let new_id = AccountId::generate();
    let account: Option<Account> = sqlx::query_as(concat!(
        "INSERT INTO sync.connected_account AS a
             (id, workspace_id, user_id, provider, issuer, subject, handle, display_name,
              last_authenticated_at, connected_at, vouched_handle)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $11 THEN $7 END
         WHERE NOT EXISTS (SELECT FROM sync.removed_member
                           WHERE workspace_id = $2 AND user_id = $3 AND removed_at >= $9)
         ON CONFLICT (workspace_id, user_id, provider, issuer, subject) DO UPDATE SET
             handle = CASE WHEN excluded.last_authenticated_at > a.last_authenticated_at
                 THEN excluded.handle ELSE a.handle END,
             vouched_handle = CASE WHEN excluded.last_authenticated_at > a.last_authenticated_at
                     AND $11 IS NOT NULL
                 THEN excluded.vouched_handle ELSE a.vouched_handle END,
             display_name = CASE WHEN excluded.last_authenticated_at > a.last_authenticated_at
                 THEN excluded.display_name ELSE a.display_name END,
             last_authenticated_at = greatest(excluded.last_authenticated_at, a.last_authenticated_at)
         RETURNING ",
        columns!()
    ))
    .bind(new_id.as_uuid())
    .bind(binding.workspace.as_uuid())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .bind(handle.as_str())
    .bind(display_name)
    .bind(authenticated_at)
    .bind(now)
    .bind(verified)
    .fetch_optional(connection)
    .await?;
    Ok(account.map(|account| SignedInAccount {
        is_new: account.id == new_id,
        account,
    }))
}

/// Finds an account and locks its row until the transaction ends.
pub async fn lock(
    connection: &mut PgConnection,
    id: AccountId,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM sync.connected_account a
         WHERE a.id = $1
         FOR UPDATE"
    ))
    .bind(id.as_uuid())
    .fetch_optional(connection)
    .await
}

/// Stores when an account was disconnected; `None` if it is connected again.
pub async fn set_disconnected(
    connection: &mut PgConnection,
    id: AccountId,
    at: Option<OffsetDateTime>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sync.connected_account SET disconnected_at = $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(at)
        .execute(connection)
        .await?;
    Ok(())
}

/// An account with the public part of its credential.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AccountView {
    /// The account.
    #[sqlx(flatten)]
    pub account: Account,
    /// The granted scopes; `None` if nothing is stored.
    pub granted_scopes: Option<Vec<String>>,
    /// When the grant died; `None` if it is alive.
    pub auth_failed_at: Option<OffsetDateTime>,
    /// When the provider ends the grant unless it is renewed before; `None` if unknown.
    pub grant_expires_at: Option<OffsetDateTime>,
}

/// Finds a connected account; `None` if it does not exist or is disconnected.
pub async fn find(
    connection: &mut PgConnection,
    id: AccountId,
) -> Result<Option<AccountView>, sqlx::Error> {
    sqlx::query_as(concat!(
        view!(),
        " WHERE a.id = $1 AND a.disconnected_at IS NULL"
    ))
    .bind(id.as_uuid())
    .fetch_optional(connection)
    .await
}

/// The part of an account that a policy checks.
#[derive(Debug, Clone)]
pub struct AccountLocation {
    /// The account.
    pub id: AccountId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its provider.
    pub provider: ProviderName,
}

impl FromRow<'_, PgRow> for AccountLocation {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row::id(row, "id")?,
            workspace: row::id(row, "workspace_id")?,
            provider: row::text(row, "provider")?,
        })
    }
}

/// Finds the location of an account, connected or not.
pub async fn location_of(
    connection: &mut PgConnection,
    id: AccountId,
) -> Result<Option<AccountLocation>, sqlx::Error> {
    sqlx::query_as("SELECT id, workspace_id, provider FROM sync.connected_account WHERE id = $1")
        .bind(id.as_uuid())
        .fetch_optional(connection)
        .await
}

/// Connected accounts of a workspace after a position, oldest first
/// (index `connected_account_page`); only of `providers` unless `None`.
pub async fn page(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: Option<UserId>,
    providers: Option<&[ProviderName]>,
    after: Option<(OffsetDateTime, AccountId)>,
    limit: i64,
) -> Result<Vec<AccountView>, sqlx::Error> {
    let (after_time, after_id) = after.unzip();
    let providers: Option<Vec<&str>> =
        providers.map(|names| names.iter().map(ProviderName::as_str).collect());
    sqlx::query_as(concat!(
        view!(),
        " WHERE a.workspace_id = $1
           AND a.disconnected_at IS NULL
           AND ($2::uuid IS NULL OR a.user_id = $2)
           AND ($3::timestamptz IS NULL OR (a.connected_at, a.id) > ($3, $4::uuid))
           AND ($6::text[] IS NULL OR a.provider = ANY($6))
         ORDER BY a.connected_at, a.id
         LIMIT $5"
    ))
    .bind(workspace.as_uuid())
    .bind(user.map(|user| user.as_uuid()))
    .bind(after_time)
    .bind(after_id.map(|id| id.as_uuid()))
    .bind(limit)
    .bind(providers)
    .fetch_all(connection)
    .await
}
