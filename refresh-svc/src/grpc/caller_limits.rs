//! Limits what one caller may use of a replica at once, so that capacity remains for
//! others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what each caller uses of one resource. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CallerLimiter {
    most: usize,
    held: Arc<Mutex<HashMap<String, usize>>>,
}

/// One unit of the resource, held until it is dropped.
#[derive(Debug)]
pub(super) struct CallerPermit {
    limiter: CallerLimiter,
    caller: String,
}

impl CallerLimiter {
    /// Creates a limiter with `most` permits per caller, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            held: Arc::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a permit for a caller. Returns `None` if the caller has reached its limit.
    pub(super) fn try_acquire(&self, caller: &str) -> Option<CallerPermit> {
        let mut held = self.held();
        let count = held.entry(caller.to_owned()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(CallerPermit {
            limiter: self.clone(),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        let mut held = self.limiter.held();
        if let Some(count) = held.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_at_its_limit_takes_no_permit_of_another() {
        let limiter = CallerLimiter::new(2);
        let first = limiter.try_acquire("a").unwrap();
        let _second = limiter.try_acquire("a").unwrap();
        assert!(limiter.try_acquire("a").is_none());
        let _other = limiter.try_acquire("b").unwrap();
        drop(first);
        assert!(limiter.try_acquire("a").is_some());
    }
}
