//! Randomness that spreads work in time, injected as a parameter.

use std::sync::{Mutex, PoisonError};

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

/// A source of numbers from 0 to 1. Not for secrets.
#[derive(Debug)]
pub struct Jitter(Mutex<SmallRng>);

impl Jitter {
    /// Seeded by the operating system, or with `otherwise` if that fails.
    pub fn of_system(otherwise: u64) -> Self {
        Self(Mutex::new(
            SmallRng::try_from_rng(&mut SysRng)
                .unwrap_or_else(|_| SmallRng::seed_from_u64(otherwise)),
        ))
    }

    /// Produces the same numbers for the same seed.
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
