//! Exponential back-off: how long to wait before the next attempt.

use std::time::Duration;

/// The wait after a failure: the minimum after the first failure, twice as long after each
/// further one in a row, never longer than the maximum, and moved by jitter.
///
/// A value that exists is valid, and randomness is a parameter, so that a test sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    minimum: Duration,
    maximum: Duration,
    jitter: Jitter,
}

/// In which direction randomness moves a wait, and by how many percent of it at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Jitter {
    Lengthens(u8),
    Shortens(u8),
}

impl Backoff {
    /// A back-off without jitter. Returns `None` if the minimum is zero or greater than the
    /// maximum.
    pub const fn new(minimum: Duration, maximum: Duration) -> Option<Self> {
        if minimum.is_zero() || minimum.as_nanos() > maximum.as_nanos() {
            return None;
        }
        Some(Self {
            minimum,
            maximum,
            jitter: Jitter::Lengthens(0),
        })
    }

    /// Jitter lengthens each wait by up to `percent` of it (at most 100), beyond the maximum
    /// too. For waits that must not end early.
    #[must_use]
    pub const fn lengthened_by(self, percent: u8) -> Self {
        let jitter = Jitter::Lengthens(at_most_100(percent));
        Self { jitter, ..self }
    }

    /// Jitter shortens each wait by up to `percent` of it (at most 100), below the minimum too.
    #[must_use]
    pub const fn shortened_by(self, percent: u8) -> Self {
        let jitter = Jitter::Shortens(at_most_100(percent));
        Self { jitter, ..self }
    }

    /// The wait after `failures` failures in a row (1 for the first), with jitter. `random`
    /// is from 0 (the shortest wait) to 1 (the longest).
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        self.jittered(self.without_jitter(failures), random)
    }

    /// The wait that the other side asks for, clamped between minimum and maximum, with jitter.
    pub fn wait_as_hinted(&self, hint: Duration, random: f64) -> Duration {
        self.jittered(self.clamped(hint), random)
    }

    /// The wait after `failures` failures in a row without jitter, from the minimum to the
    /// maximum.
    pub fn without_jitter(&self, failures: u32) -> Duration {
        let mut wait = self.minimum;
        for _ in 1..failures {
            if wait >= self.maximum {
                break;
            }
            wait = wait.saturating_mul(2);
        }
        wait.min(self.maximum)
    }

    /// A hint from outside, such as `Retry-After`, clamped between minimum and maximum.
    pub fn clamped(&self, hint: Duration) -> Duration {
        hint.clamp(self.minimum, self.maximum)
    }

    /// A wait moved by this back-off's jitter.
    pub fn jittered(&self, wait: Duration, random: f64) -> Duration {
        let random = if random.is_nan() {
            0.0
        } else {
            random.clamp(0.0, 1.0)
        };
        match self.jitter {
            Jitter::Lengthens(percent) => {
                wait.saturating_add(share(wait, f64::from(percent) / 100.0 * random))
            }
            Jitter::Shortens(percent) => {
                wait.saturating_sub(share(wait, f64::from(percent) / 100.0 * (1.0 - random)))
            }
        }
    }
}

const fn at_most_100(percent: u8) -> u8 {
    if percent > 100 { 100 } else { percent }
}

/// A share, from 0 to 1, of a wait. The conversion fails only for the longest durations,
/// which rounding takes out of range.
fn share(wait: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * share).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn durations() -> impl Strategy<Value = Duration> {
        (0..u64::MAX, 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    fn backoffs() -> impl Strategy<Value = Backoff> {
        let short = (1..10_000_u64, 0..1_000_000_u64, any::<u8>(), any::<bool>());
        short.prop_map(|(minimum, more, percent, longer)| {
            let minimum = Duration::from_millis(minimum);
            let backoff = Backoff::new(minimum, minimum + Duration::from_millis(more)).unwrap();
            if longer {
                backoff.lengthened_by(percent)
            } else {
                backoff.shortened_by(percent)
            }
        })
    }

    #[test]
    fn a_wait_doubles_up_to_the_maximum() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30)).unwrap();
        let waits = [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX]
            .map(|failures| backoff.wait(failures, 0.7).as_secs());
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 30, 30, 30, 30]);
    }

    #[test]
    fn jitter_lengthens_or_shortens_by_its_percentage() {
        let second = Duration::from_secs(1);
        let backoff = Backoff::new(second, second).unwrap();
        let longer = backoff.lengthened_by(25);
        assert_eq!(longer.wait(1, 0.0), second);
        assert_eq!(longer.wait(1, 1.0), Duration::from_millis(1250));
        let shorter = backoff.shortened_by(25);
        assert_eq!(shorter.wait(1, 0.0), Duration::from_millis(750));
        assert_eq!(shorter.wait(1, 1.0), second);
        for random in [f64::NAN, f64::NEG_INFINITY, -1.0] {
            assert_eq!(longer.wait(1, random), second, "{random}");
        }
        assert_eq!(longer.wait(1, f64::INFINITY), Duration::from_millis(1250));
    }

    proptest! {
        #[test]
        fn only_a_minimum_between_zero_and_the_maximum_makes_a_backoff(
            minimum in durations(), maximum in durations(),
        ) {
            let valid = !minimum.is_zero() && minimum <= maximum;
            prop_assert_eq!(Backoff::new(minimum, maximum).is_some(), valid);
            prop_assert_eq!(Backoff::new(Duration::ZERO, maximum), None);
        }

        #[test]
        fn a_wait_never_shrinks_and_stays_within_its_bounds(
            backoff in backoffs(), failures in any::<u32>(), random in -0.5..1.5_f64,
        ) {
            let (wait, next) = (
                backoff.without_jitter(failures),
                backoff.without_jitter(failures.saturating_add(1)),
            );
            prop_assert!(wait <= next);
            prop_assert!(backoff.minimum <= wait && wait <= backoff.maximum);
            prop_assert_eq!(backoff.without_jitter(u32::MAX), backoff.maximum);
            let jittered = backoff.wait(failures, random);
            match backoff.jitter {
                Jitter::Lengthens(_) => prop_assert!(wait <= jittered && jittered <= wait * 2),
                Jitter::Shortens(_) => prop_assert!(jittered <= wait),
            }
        }

        #[test]
        fn a_hint_is_clamped(backoff in backoffs(), hint in durations()) {
            let clamped = backoff.clamped(hint);
            prop_assert!(backoff.minimum <= clamped && clamped <= backoff.maximum);
            if backoff.minimum <= hint && hint <= backoff.maximum {
                prop_assert_eq!(clamped, hint);
            }
        }

        #[test]
        fn no_duration_panics(
            minimum in durations(), maximum in durations(), hint in durations(),
            failures in any::<u32>(), percent in any::<u8>(), random in any::<f64>(),
        ) {
            if let Some(backoff) = Backoff::new(minimum, maximum) {
                let _ = backoff.lengthened_by(percent).wait(failures, random);
                let _ = backoff.shortened_by(percent).wait_as_hinted(hint, random);
                let _ = backoff.lengthened_by(percent).jittered(Duration::MAX, random);
            }
        }
    }
}
