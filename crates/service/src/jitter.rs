//! Randomness for jitter, as a parameter.

use std::sync::{Mutex, PoisonError};

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

/// A source of numbers from 0 to 1, for jitter only: not for secrets.
#[derive(Debug)]
pub struct Jitter(Mutex<SmallRng>);

impl Jitter {
    /// A source seeded by the operating system, or with `fallback` if the operating system
    /// has no randomness.
    pub fn of_system(fallback: u64) -> Self {
        Self(Mutex::new(
            SmallRng::try_from_rng(&mut SysRng)
                .unwrap_or_else(|_| SmallRng::seed_from_u64(fallback)),
        ))
    }

    /// A source that gives the same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }

    /// The next number, from 0 to 1.
    pub fn next(&self) -> f64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random()
    }
}
