//! Statements about single accounts that calls share. Whoever gets a connection executes the
//! statement for all who wait for one: if a thousand tokens expire at once, their reads and leases
//! take some dozen round trips instead of thousands.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_domain::AccountId;
use sqlx::FromRow;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Postgres, query_as};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::connections::HeldConnection;
use super::{Connections, Priority, STATEMENT, StoreError, within};

/// Most accounts of one statement. It bounds the time for which a connection is held.
const MAX_ACCOUNTS: usize = 100;

/// A row that such a statement returns for an account.
pub(super) trait SharedRow:
    for<'r> FromRow<'r, PgRow> + Debug + Send + Unpin + 'static
{
    /// The statement.
    const STATEMENT: &'static str;
    /// What a call asks about its account. Calls that ask the same share the answer; others about
    /// the same account wait for the next statement.
    type Ask: Copy + PartialEq + Debug + Send + 'static;
    /// What a call gets.
    type Value: Clone + Debug + Send + 'static;

    /// Binds the accounts and what is asked about them.
    fn bind<'q>(
        query: SharedQuery<'q, Self>,
        asks: &[(AccountId, Self::Ask)],
    ) -> SharedQuery<'q, Self>;

    /// The account of this row.
    fn account(&self) -> AccountId;

    /// Parses the row. `asked_at` is from before the statement. `None` if the row says that there
    /// is no such account.
    fn parse(self, ask: Self::Ask, asked_at: Instant) -> Answer<Self::Value>;
}

/// Such a statement with its arguments.
pub(super) type SharedQuery<'q, R> = QueryAs<'q, Postgres, R, PgArguments>;
type Answer<T> = Result<Option<T>, StoreError>;
type Call<T> = oneshot::Sender<Answer<T>>;

/// A call that waits for a connection.
#[derive(Debug)]
struct Waiting<R: SharedRow> {
    account: AccountId,
    ask: R::Ask,
    call: Call<R::Value>,
}

/// The calls that wait for a connection, in their order.
#[derive(Debug)]
pub(super) struct SharedStatement<R: SharedRow>(Arc<Mutex<VecDeque<Waiting<R>>>>);

/// The calls of one statement.
type Batch<R> = HashMap<AccountId, (<R as SharedRow>::Ask, Vec<Call<<R as SharedRow>::Value>>)>;

impl<R: SharedRow> SharedStatement<R> {
    /// Executes the statement for one account, or lets another call do so. `None` if it returns no
    /// row.
    ///
    /// # Errors
    /// Returned if the database does not answer, or if the row cannot be parsed.
    pub(super) async fn execute(
        &self,
        connections: &Connections,
        account: AccountId,
        ask: R::Ask,
    ) -> Answer<R::Value> {
        let (call, mut answered) = oneshot::channel();
        self.queue().push_back(Waiting { account, ask, call });
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answered => break answer,
                held = connections.acquire(Priority::Fair) => {
                    let held = held?;
                    let batch = self.next();
                    if batch.is_empty() {
                        // Another call executes the statement.
                        drop(held);
                        break answered.await;
                    }
                    // A task of its own, because others wait for it if this call leaves.
                    let _ = tokio::spawn(execute::<R>(held, batch)).await;
                }
            }
        };
        // Its task has ended early: the process stops.
        answer.unwrap_or(Err(StoreError::Late(STATEMENT)))
    }

    /// Removes the calls of the next statement from the queue.
    fn next(&self) -> Batch<R> {
        let mut queue = self.queue();
        let mut next = Batch::<R>::new();
        let mut later = Vec::new();
        while next.len() < MAX_ACCOUNTS
            && let Some(waiting) = queue.pop_front()
        {
            if waiting.call.is_closed() {
                // Its caller has left.
                continue;
            }
            let (ask, calls) = next
                .entry(waiting.account)
                .or_insert((waiting.ask, Vec::new()));
            if *ask == waiting.ask {
                calls.push(waiting.call);
            } else {
                later.push(waiting);
            }
        }
        for waiting in later.into_iter().rev() {
            queue.push_front(waiting);
        }
        next
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: SharedRow> Clone for SharedStatement<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: SharedRow> Default for SharedStatement<R> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Executes the statement for a batch and answers its calls.
async fn execute<R: SharedRow>(mut held: HeldConnection, mut batch: Batch<R>) {
    let asks: Vec<_> = batch
        .iter()
        .map(|(account, (ask, _))| (*account, *ask))
        .collect();
    let query = R::bind(query_as(R::STATEMENT), &asks);
    // Taken before the statement: the answer may be as old as this.
    let asked_at = Instant::now();
    let rows = match held.connection() {
        Ok(connection) => within(STATEMENT, query.fetch_all(connection)).await,
        Err(error) => Err(error),
    };
    let rest = match held.finish(rows) {
        Ok(rows) => {
            for row in rows {
                if let Some((ask, calls)) = batch.remove(&row.account()) {
                    answer(calls, &row.parse(ask, asked_at));
                }
            }
            Ok(None)
        }
        Err(error) => Err(error),
    };
    answer(batch.into_values().flat_map(|(_, calls)| calls), &rest);
}

/// The accounts of a statement that asks nothing else.
pub(super) fn accounts(asks: &[(AccountId, ())]) -> Vec<Uuid> {
    asks.iter().map(|(account, ())| account.as_uuid()).collect()
}

fn answer<T: Clone>(calls: impl IntoIterator<Item = Call<T>>, answer: &Answer<T>) {
    for call in calls {
        // A caller that has left needs no answer.
        let _ = call.send(answer.clone());
    }
}

#[cfg(test)]
#[path = "shared_statements/tests.rs"]
mod tests;
