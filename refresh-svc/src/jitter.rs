//! Randomness that only spreads work: as a parameter.

use std::sync::{Mutex, PoisonError};

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

/// A source of metrics from 0 to 1. Not for secrets.
#[derive(Debug)]
pub struct Jitter(Mutex<SmallRng>);

impl Jitter {
    /// Seeded by the operating system, or with `otherwise` where it has no
    /// randomness to give.
    pub fn of_system(otherwise: u64) -> Self {
        Self(Mutex::new(
            SmallRng::try_from_rng(&mut SysRng)
                .unwrap_or_else(|_| SmallRng::seed_from_u64(otherwise)),
        ))
    }

    /// The same metrics for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }

    /// The next number.
    pub fn next(&self) -> f64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random()
    }
}
