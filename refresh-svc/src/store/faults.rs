//! Faults that the model test injects into the statements of a process.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::StoreError;

/// A fault of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not reach the database.
    LostBefore,
    /// The database executes it, and the answer is lost.
    LostAfter,
    /// It hangs until it is released, and has not reached the database.
    Hangs,
}

/// The next fault of a process.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: Mutex<Option<Fault>>,
    let_go: Notify,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Option<Fault>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn let_go(&self) {
        self.let_go.notify_waiters();
    }

    fn take(&self, wanted: fn(Fault) -> bool) -> Option<Fault> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take_if(|fault| wanted(*fault))
    }

    pub(super) async fn before(&self) -> Result<(), StoreError> {
        match self.take(|fault| fault != Fault::LostAfter) {
            None => Ok(()),
            Some(fault) => {
                if fault == Fault::Hangs {
                    self.let_go.notified().await;
                }
                Err(StoreError::Late(Duration::ZERO))
            }
        }
    }

    pub(super) fn after<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match self.take(|fault| fault == Fault::LostAfter) {
            None => answer,
            Some(_) => answer.and_then(|_| Err(StoreError::Late(Duration::ZERO))),
        }
    }
}
