//! `vault.credential`: sealed grants, refresh leases and results of refreshes. Every
//! write that depends on what was read states so in its `WHERE`.

mod commit;
mod connections;
mod credential;
mod disconnect_requests;
mod erase;
mod error;
mod failures;
#[cfg(test)]
mod faults;
mod key_sample;
mod keys;
mod lease;
mod leasing;
mod lookup;
mod new_tokens;
mod policy_attributes;
mod renewal;
mod replaced_grants;
mod shared_statements;

use std::time::Duration;

use latchkey_domain::AccountId;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgPool, Postgres};
use tokio::time::Instant;

pub(crate) use connections::{
    Connections, DatabaseServes, LONG_STATEMENT, Priority, STATEMENT, WHOLE_TABLE, within,
};
pub(crate) use credential::columns;
pub use credential::{Credential, Failure};
pub use erase::Erased;
pub use error::StoreError;
pub use failures::{DeadReason, FailureRecord};
#[cfg(test)]
pub(crate) use faults::{Fault, Faults};
pub use key_sample::SampleToken;
pub use keys::{Resealed, SealedTokens};
pub use lease::{Holder, Lease};
pub use lookup::HandleMatch;
pub use new_tokens::NewTokens;
pub use policy_attributes::PolicyAttributes;
pub use replaced_grants::Replaced;
use shared_statements::SharedStatement;

/// A statement that returns the columns of credentials.
type CredentialQuery<'q> = QueryAs<'q, Postgres, credential::Row, PgArguments>;

/// The credential store.
#[derive(Debug, Clone)]
pub struct Store {
    connections: Connections,
    credentials: SharedStatement<credential::Row>,
    attributes: SharedStatement<policy_attributes::Row>,
    leases: SharedStatement<lease::LeaseRow>,
    commits: SharedStatement<new_tokens::CommittedRow>,
}

impl Store {
    /// A store on a pool of refresh-svc's role.
    pub fn new(pool: &PgPool) -> Self {
        Self::on(Connections::new(pool))
    }

    /// A store on connections that are shared with others.
    pub(crate) fn on(connections: Connections) -> Self {
        Self {
            connections,
            credentials: SharedStatement::default(),
            attributes: SharedStatement::default(),
            leases: SharedStatement::default(),
            commits: SharedStatement::default(),
        }
    }

    /// Reads one credential.
    ///
    /// # Errors
    /// Returned if the database does not answer, or if the row cannot be parsed.
    pub async fn read(&self, account: AccountId) -> Result<Option<Credential>, StoreError> {
        self.credentials
            .execute(&self.connections, account, ())
            .await
    }

    /// Reads at most `limit` credentials with account ids after `after`, in the order of
    /// account ids.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn page(&self, after: AccountId, limit: i64) -> Result<Vec<Credential>, StoreError> {
        let query = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM vault.credential WHERE account_id > $1 ORDER BY account_id LIMIT $2"
        ))
        .bind(after.as_uuid())
        .bind(limit);
        self.fetch_credentials(query).await
    }

    /// Executes a statement about one account.
    async fn fetch_credential(
        &self,
        query: CredentialQuery<'_>,
    ) -> Result<Option<Credential>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        // Taken before the statement: the answer may be as old as this.
        let read_at = Instant::now();
        let row = within(STATEMENT, query.fetch_optional(held.connection()?)).await;
        let row = held.finish(row)?;
        row.map(|row| row.into_credential(read_at)).transpose()
    }

    /// Executes a background statement about many accounts.
    async fn fetch_credentials(
        &self,
        query: CredentialQuery<'_>,
    ) -> Result<Vec<Credential>, StoreError> {
        let read_at = Instant::now();
        let rows = self.fetch_all(LONG_STATEMENT, query).await?;
        rows.into_iter()
            .map(|row| row.into_credential(read_at))
            .collect()
    }

    /// Executes a statement that returns any number of rows.
    async fn fetch_all<T>(
        &self,
        deadline: Duration,
        query: QueryAs<'_, Postgres, T, PgArguments>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let rows = within(deadline, query.fetch_all(held.connection()?)).await;
        held.finish(rows)
    }
}

/// Seconds for an SQL interval.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
