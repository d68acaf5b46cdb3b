//! Which key seals which token, and how a grant is resealed to another key. Nothing here
//! changes a version: for callers and other writers a resealed grant is the same grant.

use latchkey_domain::{AccountId, Handle, ProviderName, UserId, WorkspaceId};
use latchkey_sealing::{KeyId, VERSION};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Credential, LONG_STATEMENT, Priority, Store, StoreError, columns, credential, within};

/// The key id in an envelope (see `latchkey-sealing`) without opening it; `(none)` if
/// the bytes are not an envelope.
macro_rules! key_of {
    ($column:literal) => {
        concat!(
            "CASE WHEN octet_length(",
            $column,
            ") > 2 AND get_byte(substr(",
            $column,
            ", 1, 1), 0) = 1 THEN encode(substr(",
            $column,
            ", 3, get_byte(substr(",
            $column,
            ", 2, 1), 0)), 'escape') ELSE '(none)' END"
        )
    };
}

/// Number of tokens that one key seals.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedTokens {
    /// Key id in the envelopes.
    pub key: String,
    /// Access tokens.
    pub access: i64,
    /// Refresh tokens.
    pub refresh: i64,
}

/// An account whose grant no configured key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostGrant {
    /// The account.
    pub account: AccountId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its owner.
    pub user: UserId,
    /// Its provider.
    pub provider: ProviderName,
    /// Its mailbox address.
    pub handle: Handle,
    /// The key that would open it.
    pub key: String,
}

/// A resealed grant, with the bytes that it replaces.
#[derive(Debug, Clone)]
pub struct Resealed {
    /// The credential as it was read.
    pub before: Credential,
    /// The access token, sealed to the current key.
    pub sealed_access_token: Option<Vec<u8>>,
    /// The refresh token, sealed to the current key.
    pub sealed_refresh_token: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct LostRow {
    account_id: Uuid,
    workspace_id: Uuid,
    user_id: Uuid,
    provider: String,
    handle: String,
    key: String,
}

impl Store {
    /// Counts the stored tokens by key, ordered by key id.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn count_by_key(&self) -> Result<Vec<SealedTokens>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT key, sum(access)::bigint AS access, sum(refresh)::bigint AS refresh
             FROM (SELECT ",
            key_of!("sealed_access_token"),
            " AS key, 1 AS access, 0 AS refresh
                   FROM vault.credential WHERE sealed_access_token IS NOT NULL
                   UNION ALL
                   SELECT ",
            key_of!("sealed_refresh_token"),
            ", 0, 1 FROM vault.credential WHERE sealed_refresh_token IS NOT NULL
                   UNION ALL
                   SELECT ",
            key_of!("sealed_refresh_token"),
            ", 0, 1 FROM vault.replaced_grant) AS token
             GROUP BY key ORDER BY key"
        ));
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let counts = within(LONG_STATEMENT, query.fetch_all(held.connection()?)).await;
        held.finish(counts)
    }

    /// First accounts of the ranges of `length` rows that form the table.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn ranges(&self, length: i64) -> Result<Vec<AccountId>, StoreError> {
        // Index-only scan.
        let query = sqlx::query_scalar(
            "SELECT account_id
             FROM (SELECT account_id, row_number() OVER (ORDER BY account_id) - 1 AS number
                   FROM vault.credential) AS numbered
             WHERE number % $1 = 0
             ORDER BY account_id",
        )
        .bind(length);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let firsts = within(LONG_STATEMENT, query.fetch_all(held.connection()?)).await;
        let firsts: Vec<Uuid> = held.finish(firsts)?;
        Ok(firsts.into_iter().map(AccountId::from).collect())
    }

    /// Accounts of the range from `first` that hold a token sealed to another key than
    /// `current`.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn stale(
        &self,
        first: AccountId,
        length: i64,
        current: &KeyId,
    ) -> Result<Vec<AccountId>, StoreError> {
        let envelope_prefix = envelope_prefix(current);
        let query = sqlx::query_scalar(
            "SELECT account_id
             FROM (SELECT account_id, sealed_access_token, sealed_refresh_token
                   FROM vault.credential
                   WHERE account_id >= $1
                   ORDER BY account_id LIMIT $2) AS range
             WHERE substr(sealed_access_token, 1, $4) <> $3
                OR substr(sealed_refresh_token, 1, $4) <> $3
             ORDER BY account_id",
        )
        .bind(first.as_uuid())
        .bind(length)
        .bind(&envelope_prefix)
        .bind(i32::try_from(envelope_prefix.len()).unwrap_or(i32::MAX));
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let stale = within(LONG_STATEMENT, query.fetch_all(held.connection()?)).await;
        let stale: Vec<Uuid> = held.finish(stale)?;
        Ok(stale.into_iter().map(AccountId::from).collect())
    }

    /// Reads several credentials.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn read_all(&self, accounts: &[AccountId]) -> Result<Vec<Credential>, StoreError> {
        let accounts: Vec<Uuid> = accounts.iter().map(AccountId::as_uuid).collect();
        let query = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM vault.credential WHERE account_id = ANY($1)"
        ))
        .bind(accounts);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let read_at = Instant::now();
        let rows = within(LONG_STATEMENT, query.fetch_all(held.connection()?)).await;
        let rows: Vec<credential::Row> = held.finish(rows)?;
        rows.into_iter()
            .map(|row| row.into_credential(read_at))
            .collect()
    }

    /// Replaces the bytes of grants that were resealed, and returns how many. A row that
    /// has changed since or is locked is skipped, so that no lock is waited for and
    /// nothing newer is overwritten.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn replace_envelopes(&self, grants: &[Resealed]) -> Result<u64, StoreError> {
        let mut accounts: Vec<Uuid> = Vec::with_capacity(grants.len());
        let mut versions: Vec<i64> = Vec::with_capacity(grants.len());
        let mut columns: [Vec<Option<&[u8]>>; 4] = Default::default();
        for grant in grants {
            accounts.push(grant.before.account.as_uuid());
            versions.push(grant.before.version);
            columns[0].push(grant.before.sealed_access_token.as_deref());
            columns[1].push(grant.before.sealed_refresh_token.as_deref());
            columns[2].push(grant.sealed_access_token.as_deref());
            columns[3].push(grant.sealed_refresh_token.as_deref());
        }
        let [old_access, old_refresh, access, refresh] = columns;
        let query = sqlx::query(
            "WITH unchanged AS (
                 SELECT held.account_id, held.version, new.access, new.refresh
                 FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[],
                             $5::bytea[], $6::bytea[])
                     AS new (account_id, version, old_access, old_refresh, access, refresh)
                 JOIN vault.credential AS held ON held.account_id = new.account_id
                 WHERE held.version = new.version
                   AND held.sealed_access_token IS NOT DISTINCT FROM new.old_access
                   AND held.sealed_refresh_token IS NOT DISTINCT FROM new.old_refresh
                 FOR NO KEY UPDATE OF held SKIP LOCKED
             )
             UPDATE vault.credential AS held
             SET sealed_access_token = unchanged.access,
                 sealed_refresh_token = unchanged.refresh
             FROM unchanged
             WHERE held.account_id = unchanged.account_id
               AND held.version = unchanged.version",
        )
        .bind(accounts)
        .bind(versions)
        .bind(old_access)
        .bind(old_refresh)
        .bind(access)
        .bind(refresh);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let done = within(LONG_STATEMENT, query.execute(held.connection()?)).await;
        Ok(held.finish(done)?.rows_affected())
    }

    /// Living accounts after `after` whose grant only a sign-in can restore: none of the
    /// `known` keys opens the refresh token, or the access token if there is no refresh
    /// token. Ordered by account.
    ///
    /// # Errors
    /// Returned if the database does not answer or a row cannot be parsed.
    pub async fn lost_grants(
        &self,
        known: &[String],
        after: Option<AccountId>,
        limit: i64,
    ) -> Result<Vec<LostGrant>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT * FROM (
                 SELECT account_id, workspace_id, user_id, provider, handle,
                        CASE WHEN sealed_refresh_token IS NULL THEN ",
            key_of!("sealed_access_token"),
            " ELSE ",
            key_of!("sealed_refresh_token"),
            " END AS key
                 FROM vault.credential
                 WHERE auth_failed_at IS NULL AND erased_at IS NULL
                   AND coalesce(sealed_refresh_token, sealed_access_token) IS NOT NULL
             ) AS living
             WHERE key <> ALL($1) AND ($2::uuid IS NULL OR account_id > $2)
             ORDER BY account_id LIMIT $3"
        ))
        .bind(known)
        .bind(after.map(|account| account.as_uuid()))
        .bind(limit);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let rows = within(LONG_STATEMENT, query.fetch_all(held.connection()?)).await;
        let rows: Vec<LostRow> = held.finish(rows)?;
        rows.into_iter().map(lost_grant).collect()
    }
}

/// The first bytes of every envelope of a key.
pub(super) fn envelope_prefix(key: &KeyId) -> Vec<u8> {
    let id = key.as_str().as_bytes();
    let mut envelope_prefix = vec![VERSION, u8::try_from(id.len()).unwrap_or(u8::MAX)];
    envelope_prefix.extend_from_slice(id);
    envelope_prefix
}

fn lost_grant(row: LostRow) -> Result<LostGrant, StoreError> {
    let account = AccountId::from(row.account_id);
    let unreadable = |problem: String| StoreError::Unreadable { account, problem };
    Ok(LostGrant {
        account,
        workspace: row.workspace_id.into(),
        user: row.user_id.into(),
        provider: row
            .provider
            .parse()
            .map_err(|error| unreadable(format!("{error}")))?,
        handle: row
            .handle
            .parse()
            .map_err(|error| unreadable(format!("{error}")))?,
        key: row.key,
    })
}
