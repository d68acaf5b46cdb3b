//! What is known of an account before a token of it is given: for a policy.

use std::sync::Arc;

use latchkey_domain::AccountId;

use super::{Engine, EngineError};
use crate::snapshot::Snapshot;
use crate::store::Facts;

impl Engine {
    /// What is in memory of an account. Workspace and provider of an account
    /// never change, so its age is of no matter.
    pub(crate) fn cached(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.parts.cache.get(account)
    }

    /// What the database knows of an account, whatever is in memory, and
    /// leaving nothing there.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn facts(&self, account: AccountId) -> Result<Option<Facts>, EngineError> {
        // In a box: a call that is answered from memory is moved about without it.
        Ok(Box::pin(self.parts.store.facts(account)).await?)
    }
}
