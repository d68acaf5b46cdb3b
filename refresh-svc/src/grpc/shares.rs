//! What one caller may hold of a replica at once: it leaves the others theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The shares of all callers in one kind of thing. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<String, usize>>>,
}

/// One that a caller holds until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    caller: String,
}

impl Shares {
    /// So many for each caller, one at least.
    pub(super) fn of(most: usize) -> Self {
        Self {
            most: most.max(1),
            held: Arc::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more for a caller; nothing where it has its share.
    pub(super) fn take(&self, caller: &str) -> Option<Share> {
        let mut held = self.held();
        let count = held.entry(caller.to_owned()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            shares: self.clone(),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
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
    fn a_caller_that_has_its_share_takes_none_of_anothers() {
        let shares = Shares::of(2);
        let first = shares.take("a").unwrap();
        let _second = shares.take("a").unwrap();
        assert!(shares.take("a").is_none());
        let _other = shares.take("b").unwrap();
        drop(first);
        assert!(shares.take("a").is_some());
    }
}
