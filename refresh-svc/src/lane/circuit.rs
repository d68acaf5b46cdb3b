//! A circuit breaker that knows whose failures it counts: a state machine
//! without I/O.
//!
//! One account that always fails must not close the way for the others, so the
//! last outcome of each account counts, not each outcome. One request probes
//! whether the provider is back, not a handful. What `failsafe` and `recloser`
//! do not have: see docs/decisions/0010.

use std::collections::VecDeque;
use std::time::Duration;

use latchkey_providers::{FailureClass, TokenError};
use tokio::time::Instant;

/// Outcomes that are remembered, the latest of each account.
const MEMORY: usize = 32;
/// What is older says nothing about now.
const OLDEST: Duration = Duration::from_mins(2);
/// Failures of fewer accounts than this are those accounts' own.
const FEWEST_FAILURES: usize = 3;

/// First time that the circuit stays open, doubled with each probe that fails up
/// to the second.
const PASSING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
const OPERATORS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(5));
/// A provider's hint is believed up to this.
const LONGEST_HINT: Duration = Duration::from_mins(10);
/// A probe is under way: its outcome is awaited no longer than this by others.
const SOON: Duration = Duration::from_secs(1);

/// What a request says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works, also where it refuses one grant.
    Healthy,
    /// It does not, or not for this deployment.
    Sick {
        /// How.
        class: FailureClass,
        /// Its `Retry-After`.
        hint: Option<Duration>,
    },
}

impl Verdict {
    /// What an error says. Refusing one grant is healthy.
    pub fn of(error: &TokenError) -> Self {
        match error.class {
            class @ (FailureClass::ProviderUnavailable
            | FailureClass::Network
            | FailureClass::OutcomeUnknown
            | FailureClass::MalformedResponse
            | FailureClass::RateLimit
            | FailureClass::ClientMisconfigured
            | FailureClass::Unauthorized) => Self::Sick {
                class,
                hint: error.retry_after,
            },
            _ => Self::Healthy,
        }
    }
}

/// No request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shut {
    /// The failure that opened the circuit.
    pub class: FailureClass,
    /// When the next probe goes out.
    pub retry_after: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open {
        until: Instant,
        class: FailureClass,
        times: u32,
    },
    Probing {
        class: FailureClass,
        times: u32,
    },
}

/// The breaker of one way to a provider.
#[derive(Debug)]
pub struct Circuit {
    state: State,
    /// Whose, whether it failed, and when; the latest last.
    recent: VecDeque<(u64, bool, Instant)>,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            state: State::Closed,
            recent: VecDeque::with_capacity(MEMORY),
        }
    }
}

impl Circuit {
    /// Why no request would be let through now; nothing where one would.
    pub fn shut(&self, now: Instant) -> Option<Shut> {
        match self.state {
            State::Closed => None,
            State::Open { until, .. } if until <= now => None,
            State::Open { until, class, .. } => Some(Shut {
                class,
                retry_after: until - now,
            }),
            State::Probing { class, .. } => Some(Shut {
                class,
                retry_after: SOON,
            }),
        }
    }

    /// Asks to send a request: true where it is the probe.
    pub fn admit(&mut self, now: Instant) -> Result<bool, Shut> {
        if let Some(shut) = self.shut(now) {
            return Err(shut);
        }
        if let State::Open { class, times, .. } = self.state {
            self.state = State::Probing { class, times };
            return Ok(true);
        }
        Ok(false)
    }

    /// The probe was not sent: the next request is one.
    pub fn abandon(&mut self, now: Instant) {
        if let State::Probing { class, times } = self.state {
            self.state = State::Open {
                until: now,
                class,
                times,
            };
        }
    }

    /// Takes an outcome. `source` says whose, `jitter` of 0 to 1 keeps replicas
    /// from probing in step. True where the circuit opened or closed.
    pub fn record(
        &mut self,
        source: u64,
        probe: bool,
        verdict: Verdict,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match (self.state, verdict) {
            (State::Probing { .. }, Verdict::Healthy) if probe => {
                self.recent.clear();
                self.state = State::Closed;
                true
            }
            (State::Probing { times, .. }, Verdict::Sick { class, hint }) if probe => {
                self.open(class, hint, times + 1, now, jitter);
                false
            }
            (State::Closed, verdict) => {
                let sick = matches!(verdict, Verdict::Sick { .. });
                self.recent
                    .retain(|(whose, _, at)| *whose != source && now.duration_since(*at) < OLDEST);
                if self.recent.len() == MEMORY {
                    self.recent.pop_front();
                }
                self.recent.push_back((source, sick, now));
                let failures = self.recent.iter().filter(|(_, sick, _)| *sick).count();
                match verdict {
                    Verdict::Sick { class, hint }
                        if failures >= FEWEST_FAILURES && failures * 2 >= self.recent.len() =>
                    {
                        self.open(class, hint, 0, now, jitter);
                        true
                    }
                    _ => false,
                }
            }
            // Sent before the circuit opened: it knows that already.
            _ => false,
        }
    }

    fn open(
        &mut self,
        class: FailureClass,
        hint: Option<Duration>,
        times: u32,
        now: Instant,
        jitter: f64,
    ) {
        let (first, longest) = if class.is_operators() {
            OPERATORS
        } else {
            PASSING
        };
        let wait = first.saturating_mul(1 << times.min(16)).min(longest);
        let wait = wait.max(hint.unwrap_or_default().min(LONGEST_HINT));
        self.state = State::Open {
            until: now + wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0),
            class,
            times,
        };
    }
}

#[cfg(test)]
#[path = "circuit/tests.rs"]
mod tests;
