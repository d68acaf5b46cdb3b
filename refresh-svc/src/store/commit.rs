//! Stores the tokens of a refresh, together with those of other refreshes if many wait.

use std::sync::Arc;

use super::credential::Credential;
use super::error::StoreError;
use super::new_tokens::{ALONE, CommitAsk, CommittedRow, NewTokens};
use super::shared_statements::SharedStatement;
use super::{Lease, Store};

impl Store {
    /// Stores the tokens and ends the lease. Both tokens now belong to the refresh
    /// token's grant, whichever sign-in the previous access token came from. Returns
    /// `None`, and stores nothing, if the version or the epoch has changed.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn commit(
        &self,
        lease: &Lease,
        tokens: &Arc<NewTokens>,
    ) -> Result<Option<Credential>, StoreError> {
        let account = lease.credential.account;
        let ask = CommitAsk {
            version: lease.credential.version,
            epoch: lease.epoch,
            tokens: Arc::clone(tokens),
        };
        let shared = &self.commits;
        match shared
            .execute(&self.connections, account, ask.clone())
            .await
        {
            // Another transaction is writing the row, or it has changed; or one row of the
            // statement is refused: alone it harms no other.
            Ok(None) | Err(StoreError::Database(_)) => {
                SharedStatement::<CommittedRow>::alone(&self.connections, ALONE, account, ask).await
            }
            stored => stored,
        }
    }
}

#[cfg(test)]
#[path = "commit/tests.rs"]
mod tests;
