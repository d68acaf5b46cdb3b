//! Reads by account id that share statements. Whoever gets a connection reads the rows of all who
//! wait for one: if a thousand tokens expire at once, their reads take some dozen round trips
//! instead of thousands.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_domain::AccountId;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::connections::HeldConnection;
use super::{Connections, Priority, STATEMENT, StoreError, within};

/// Most accounts of one statement. It bounds the time for which a connection is held.
const MAX_ACCOUNTS: usize = 100;

/// A row of such a read.
pub(super) trait SharedRow: for<'r> FromRow<'r, PgRow> + Send + Unpin {
    /// The statement that reads the rows of the accounts in `$1`.
    const STATEMENT: &'static str;
    /// What a call gets.
    type Value: Clone + Send;

    /// The account of this row.
    fn account(&self) -> AccountId;

    /// Parses the row. `None` if it says that there is no such account.
    fn parse(self, read_at: Instant) -> Answer<Self::Value>;
}

type Answer<T> = Result<Option<T>, StoreError>;
type Call<T> = oneshot::Sender<Answer<T>>;

/// The calls that wait for a connection, in their order.
#[derive(Debug)]
pub(super) struct SharedReads<R: SharedRow>(Arc<Mutex<VecDeque<(AccountId, Call<R::Value>)>>>);

/// The calls of one statement.
type Batch<T> = HashMap<AccountId, Vec<Call<T>>>;

impl<R: SharedRow> SharedReads<R> {
    /// Reads one row, by a statement of its own or by that of another call.
    ///
    /// # Errors
    /// Returned if the database does not answer, or if the row cannot be parsed.
    pub(super) async fn read(
        &self,
        connections: &Connections,
        account: AccountId,
    ) -> Answer<R::Value> {
        let mut answered = self.wait(account);
        loop {
            let answer = tokio::select! {
                biased;
                answer = &mut answered => answer,
                held = connections.acquire(Priority::Fair) => {
                    let held = held?;
                    let batch = self.next();
                    if !batch.is_empty() {
                        read_batch::<R>(held, batch).await;
                        continue;
                    }
                    // Another call reads the row.
                    drop(held);
                    (&mut answered).await
                }
            };
            match answer {
                Ok(answer) => return answer,
                // The call that read the row has left before its answer.
                Err(_) => answered = self.wait(account),
            }
        }
    }

    fn wait(&self, account: AccountId) -> oneshot::Receiver<Answer<R::Value>> {
        let (call, answered) = oneshot::channel();
        self.queue().push_back((account, call));
        answered
    }

    /// Removes the calls of the next statement from the queue.
    fn next(&self) -> Batch<R::Value> {
        let mut queue = self.queue();
        let mut next = Batch::new();
        while next.len() < MAX_ACCOUNTS
            && let Some((account, call)) = queue.pop_front()
        {
            // The caller of a closed one has left.
            if !call.is_closed() {
                next.entry(account).or_default().push(call);
            }
        }
        next
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<(AccountId, Call<R::Value>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: SharedRow> Clone for SharedReads<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: SharedRow> Default for SharedReads<R> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Reads the rows of a batch and answers its calls.
async fn read_batch<R: SharedRow>(mut held: HeldConnection, mut batch: Batch<R::Value>) {
    let accounts: Vec<Uuid> = batch.keys().map(|account| account.as_uuid()).collect();
    // Taken before the statement: the answer may be as old as this.
    let read_at = Instant::now();
    let query = sqlx::query_as(R::STATEMENT).bind(accounts);
    let rows: Result<Vec<R>, StoreError> = match held.connection() {
        Ok(connection) => within(STATEMENT, query.fetch_all(connection)).await,
        Err(error) => Err(error),
    };
    match held.finish(rows) {
        Ok(rows) => {
            for row in rows {
                let calls = batch.remove(&row.account()).unwrap_or_default();
                answer(calls, &row.parse(read_at));
            }
            answer(batch.into_values().flatten(), &Ok(None));
        }
        Err(error) => answer(batch.into_values().flatten(), &Err(error)),
    }
}

fn answer<T: Clone>(calls: impl IntoIterator<Item = Call<T>>, answer: &Answer<T>) {
    for call in calls {
        // A caller that has left needs no answer.
        let _ = call.send(answer.clone());
    }
}

#[cfg(test)]
#[path = "shared_reads/tests.rs"]
mod tests;
