//! Single flight: concurrent callers of one account share one task. A caller that leaves
//! never cancels a rotation.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use latchkey_domain::AccountId;
use latchkey_service::telemetry::in_current_trace;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::EngineError;
use crate::snapshot::Snapshot;

/// Result that all waiters of a task share.
pub type RefreshResult = Result<Arc<Snapshot>, EngineError>;

/// The running tasks by account.
#[derive(Debug, Default)]
pub struct SingleFlight {
    running: Mutex<HashMap<AccountId, watch::Receiver<Option<RefreshResult>>>>,
}

/// Waits for the result of a task.
#[derive(Debug)]
pub struct Waiter(watch::Receiver<Option<RefreshResult>>);

impl Waiter {
    /// Waits for the result.
    pub async fn outcome(mut self) -> RefreshResult {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(EngineError::StillRefreshing)),
            // The task panicked, or the process stops.
            Err(_) => Err(EngineError::StillRefreshing),
        }
    }
}

impl SingleFlight {
    /// Joins the running task of the account, or starts one.
    pub fn join<F>(
        self: &Arc<Self>,
        account: AccountId,
        tasks: &TaskTracker,
        start: impl FnOnce() -> F,
    ) -> Waiter
    where
        F: Future<Output = RefreshResult> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = running.get(&account) {
            return Waiter(pending.clone());
        }
        let (sender, waiter) = watch::channel(None);
        running.insert(account, waiter.clone());
        let guard = RunningGuard {
            single_flight: Arc::clone(self),
            account,
        };
        let task = start();
        tasks.spawn(in_current_trace(async move {
            let outcome = task.await;
            // Removed first: a waiter that must refresh again starts a new task.
            drop(guard);
            sender.send_replace(Some(outcome));
        }));
        Waiter(waiter)
    }

    /// Returns `true` while a task of the account is running.
    pub fn is_running(&self, account: AccountId) -> bool {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&account)
    }
}

/// Removes the task from the map, even if it panics.
struct RunningGuard {
    single_flight: Arc<SingleFlight>,
    account: AccountId,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.single_flight
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn account() -> AccountId {
        Uuid::from_u128(1).into()
    }

    // R33
    #[tokio::test]
    async fn many_callers_share_one_refresh() {
        let (single_flight, tasks) = (Arc::new(SingleFlight::default()), TaskTracker::new());
        let count = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<Waiter> = (0..100)
            .map(|_| {
                let count = Arc::clone(&count);
                single_flight.join(account(), &tasks, || async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Err(EngineError::AccountNotFound)
                })
            })
            .collect();
        assert!(single_flight.is_running(account()));
        for waiter in waiters {
            assert_eq!(
                waiter.outcome().await.err(),
                Some(EngineError::AccountNotFound)
            );
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(!single_flight.is_running(account()));
    }

    // R33
    #[tokio::test]
    async fn a_caller_that_leaves_never_cancels_the_refresh() {
        let (single_flight, tasks) = (Arc::new(SingleFlight::default()), TaskTracker::new());
        let done = Arc::new(AtomicUsize::new(0));
        let flag = Arc::clone(&done);
        let waiter = single_flight.join(account(), &tasks, || async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            flag.fetch_add(1, Ordering::SeqCst);
            Err(EngineError::AccountNotFound)
        });
        drop(waiter);
        tasks.close();
        tasks.wait().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn callers_of_a_refresh_that_panics_get_an_error() {
        let (single_flight, tasks) = (Arc::new(SingleFlight::default()), TaskTracker::new());
        let waiter = single_flight.join(account(), &tasks, || async { panic!("crash") });
        assert!(waiter.outcome().await.is_err());
        let waiter = single_flight.join(account(), &tasks, || async {
            Err(EngineError::AccountNotFound)
        });
        assert_eq!(
            waiter.outcome().await.err(),
            Some(EngineError::AccountNotFound)
        );
    }
}
