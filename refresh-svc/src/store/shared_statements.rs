//! Statements about single accounts that calls share. A call that finds all workers busy waits, and
//! the next worker executes one statement for all who wait: if a thousand tokens expire at once,
//! their reads, leases and new tokens take some dozen round trips instead of thousands.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use latchkey_domain::AccountId;
use latchkey_service::telemetry::CurrentTrace;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{FromRow, Postgres, Row as _};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::connections::{Connections, HeldConnection, Priority, STATEMENT, within};
use super::error::StoreError;

/// Most accounts of one statement. It bounds the time for which a connection is held.
const MAX_ACCOUNTS: usize = 100;
/// Most workers of one statement. With more calls than these, calls share.
const MAX_WORKERS: usize = 8;

/// A row that such a statement returns for an account. Its first column is the account.
pub(super) trait SharedRow: for<'r> FromRow<'r, PgRow> + Debug + Send + 'static {
    /// The statement.
    const STATEMENT: &'static str;
    /// Whether the statement waits for its turn.
    const PRIORITY: Priority = Priority::Fair;
    /// What a call asks about its account. Calls that ask the same share the answer; others about
    /// the same account wait for the next statement.
    type Ask: Clone + PartialEq + Debug + Send + Sync + 'static;
    /// What a call gets.
    type Value: Clone + Debug + Send + 'static;

    /// Binds the accounts and what is asked about them.
    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, Self::Ask)]) -> SharedQuery<'q>;

    /// Parses the row. `asked_at` is from before the statement. `None` if the row says that there
    /// is no such account.
    fn parse(self, ask: &Self::Ask, asked_at: Instant) -> Answer<Self::Value>;
}

/// Such a statement with its arguments.
pub(super) type SharedQuery<'q> = Query<'q, Postgres, PgArguments>;
type Answer<T> = Result<Option<T>, StoreError>;
type Call<T> = oneshot::Sender<Answer<T>>;

/// A statement, with the calls that wait for it.
#[derive(Debug)]
pub(super) struct SharedStatement<R: SharedRow>(Arc<Mutex<Queue<R>>>);

#[derive(Debug)]
struct Queue<R: SharedRow> {
    /// In the order of the calls.
    waiting: VecDeque<Waiting<R>>,
    workers: usize,
}

/// A call that waits.
#[derive(Debug)]
struct Waiting<R: SharedRow> {
    account: AccountId,
    ask: R::Ask,
    call: Call<R::Value>,
    trace: CurrentTrace,
}

/// The calls of one statement.
type Batch<R> = HashMap<AccountId, (<R as SharedRow>::Ask, Vec<Call<<R as SharedRow>::Value>>)>;

impl<R: SharedRow> SharedStatement<R> {
    /// Executes the statement for one account, alone or together with other calls. `None` if it
    /// returns no row.
    ///
    /// # Errors
    /// Returned if the database does not answer, or if the row cannot be parsed.
    pub(super) async fn execute(
        &self,
        connections: &Connections,
        account: AccountId,
        ask: R::Ask,
    ) -> Answer<R::Value> {
        let (call, answered) = oneshot::channel();
        let another = {
            let mut queue = self.queue();
            queue.waiting.push_back(Waiting {
                account,
                ask,
                call,
                trace: CurrentTrace::now(),
            });
            let another = queue.workers < MAX_WORKERS;
            queue.workers += usize::from(another);
            another
        };
        if another {
            // A task, because others wait for its work too: a call may leave.
            tokio::spawn(self.clone().work(connections.clone()));
        }
        // The statement panicked, or the process stops.
        answered.await.unwrap_or(Err(StoreError::Late(STATEMENT)))
    }

    /// Executes another statement, with the same arguments and rows, for one account alone.
    ///
    /// # Errors
    /// Returned if the database does not answer, or if the row cannot be parsed.
    pub(super) async fn alone(
        connections: &Connections,
        statement: &'static str,
        account: AccountId,
        ask: R::Ask,
    ) -> Answer<R::Value> {
        let (call, answered) = oneshot::channel();
        let held = connections.acquire(R::PRIORITY).await?;
        let batch = Batch::<R>::from([(account, (ask, vec![call]))]);
        execute::<R>(statement, held, batch).await;
        answered.await.unwrap_or(Err(StoreError::Late(STATEMENT)))
    }

    /// Executes the statement until no call waits.
    async fn work(self, connections: Connections) {
        while self.has_work() {
            match connections.acquire(R::PRIORITY).await {
                Ok(held) => {
                    if let Some((trace, batch)) = self.next() {
                        let executed = trace.around(execute::<R>(R::STATEMENT, held, batch));
                        let executed = AssertUnwindSafe(executed);
                        // Calls that are left without an answer get an error, and others go on.
                        let _ = executed.catch_unwind().await;
                    }
                }
                // Those who wait would wait as long, and get no connection either.
                Err(error) => {
                    let waiting = std::mem::take(&mut self.queue().waiting);
                    answer(waiting.into_iter().map(|one| one.call), &Err(error));
                }
            }
        }
    }

    /// Ends the worker if no call waits.
    fn has_work(&self) -> bool {
        let mut queue = self.queue();
        let has_work = !queue.waiting.is_empty();
        queue.workers -= usize::from(!has_work);
        has_work
    }

    /// Removes the calls of the next statement from the queue. `None` if no call waits. The
    /// statement belongs to the trace of the first call, which is returned.
    fn next(&self) -> Option<(CurrentTrace, Batch<R>)> {
        let waiting = &mut self.queue().waiting;
        let mut next = Batch::<R>::new();
        let mut trace = None;
        let mut later = Vec::new();
        while next.len() < MAX_ACCOUNTS
            && let Some(one) = waiting.pop_front()
        {
            if one.call.is_closed() {
                // Its caller has left.
                continue;
            }
            trace.get_or_insert_with(|| one.trace.clone());
            match next.entry(one.account) {
                Entry::Vacant(place) => {
                    place.insert((one.ask, vec![one.call]));
                }
                Entry::Occupied(mut held) => {
                    let (ask, calls) = held.get_mut();
                    if *ask == one.ask {
                        calls.push(one.call);
                    } else {
                        later.push(one);
                    }
                }
            }
        }
        for one in later.into_iter().rev() {
            waiting.push_front(one);
        }
        trace.map(|trace| (trace, next))
    }

    /// Number of calls that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
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
        Self(Arc::new(Mutex::new(Queue {
            waiting: VecDeque::new(),
            workers: 0,
        })))
    }
}

/// Executes a statement for a batch and answers its calls.
async fn execute<R: SharedRow>(
    statement: &'static str,
    mut held: HeldConnection,
    mut batch: Batch<R>,
) {
    let asks: Vec<_> = batch
        .iter()
        .map(|(account, (ask, _))| (*account, ask.clone()))
        .collect();
    let query = R::bind(sqlx::query(statement), &asks);
    // Taken before the statement: the answer may be as old as this.
    let asked_at = Instant::now();
    let rows = match held.connection() {
        Ok(connection) => within(STATEMENT, query.fetch_all(connection)).await,
        Err(error) => Err(error),
    };
    let rest = match held.finish(rows) {
        Ok(rows) => {
            for row in rows {
                let account = row.try_get::<Uuid, _>(0).map(AccountId::from);
                let calls = account.ok().and_then(|account| batch.remove(&account));
                if let Some((ask, calls)) = calls {
                    let parsed = R::from_row(&row).map_err(StoreError::from);
                    answer(calls, &parsed.and_then(|row| row.parse(&ask, asked_at)));
                }
            }
            Ok(None)
        }
        Err(error) => Err(error),
    };
    answer(batch.into_values().flat_map(|(_, calls)| calls), &rest);
}

/// The accounts that are asked about, in their order.
pub(super) fn accounts<A>(asks: &[(AccountId, A)]) -> Vec<Uuid> {
    asks.iter().map(|(account, _)| account.as_uuid()).collect()
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
