//! One flight per account, in a task of its own: however many callers, one
//! refresh; and a caller that leaves never cancels a rotation.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use latchkey_domain::AccountId;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::EngineError;
use crate::snapshot::Snapshot;

/// What a flight brings back to everyone aboard.
pub type Outcome = Result<Arc<Snapshot>, EngineError>;

/// The running flights.
#[derive(Debug, Default)]
pub struct Flights {
    running: Mutex<HashMap<AccountId, watch::Receiver<Option<Outcome>>>>,
}

/// A seat on a flight.
#[derive(Debug)]
pub struct Seat(watch::Receiver<Option<Outcome>>);

impl Seat {
    /// Waits for the flight to land.
    pub async fn landed(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(EngineError::StillRefreshing)),
            // The task ended without a word: it panicked, or the process stops.
            Err(_) => Err(EngineError::StillRefreshing),
        }
    }
}

impl Flights {
    /// Joins the account's flight, or starts one.
    pub fn join<F>(
        self: &Arc<Self>,
        account: AccountId,
        tasks: &TaskTracker,
        take_off: impl FnOnce() -> F,
    ) -> Seat
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = running.get(&account) {
            return Seat(flight.clone());
        }
        let (land, seat) = watch::channel(None);
        running.insert(account, seat.clone());
        let runway = Runway {
            flights: Arc::clone(self),
            account,
        };
        let flight = take_off();
        tasks.spawn(
            async move {
                let outcome = flight.await;
                // Cleared first: who is woken and must refresh again starts anew.
                drop(runway);
                land.send_replace(Some(outcome));
            }
            .in_current_span(),
        );
        Seat(seat)
    }
}

/// Takes the flight off the list, also where its task panics.
struct Runway {
    flights: Arc<Flights>,
    account: AccountId,
}

impl Drop for Runway {
    fn drop(&mut self) {
        self.flights
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
    async fn many_callers_share_one_flight() {
        let (flights, tasks) = (Arc::new(Flights::default()), TaskTracker::new());
        let count = Arc::new(AtomicUsize::new(0));
        let seats: Vec<Seat> = (0..100)
            .map(|_| {
                let count = Arc::clone(&count);
                flights.join(account(), &tasks, || async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    Err(EngineError::AccountNotFound)
                })
            })
            .collect();
        for seat in seats {
            assert_eq!(
                seat.landed().await.err(),
                Some(EngineError::AccountNotFound)
            );
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    // R33
    #[tokio::test]
    async fn a_caller_that_leaves_never_cancels_the_flight() {
        let (flights, tasks) = (Arc::new(Flights::default()), TaskTracker::new());
        let done = Arc::new(AtomicUsize::new(0));
        let flag = Arc::clone(&done);
        let seat = flights.join(account(), &tasks, || async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            flag.fetch_add(1, Ordering::SeqCst);
            Err(EngineError::AccountNotFound)
        });
        drop(seat);
        tasks.close();
        tasks.wait().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_flight_that_panics_strands_nobody() {
        let (flights, tasks) = (Arc::new(Flights::default()), TaskTracker::new());
        let seat = flights.join(account(), &tasks, || async { panic!("crash") });
        assert!(seat.landed().await.is_err());
        let seat = flights.join(account(), &tasks, || async {
            Err(EngineError::AccountNotFound)
        });
        assert_eq!(
            seat.landed().await.err(),
            Some(EngineError::AccountNotFound)
        );
    }
}
