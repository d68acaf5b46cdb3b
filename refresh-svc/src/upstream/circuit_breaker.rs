//! A breaker breaker that knows whose failures it counts: a state machine
//! without I/O.
//!
//! Accounts that always fail must not close the way for the others, so a failure counts
//! where the account was healthy before, and an account that fails is no measure of whether
//! the provider is back: it may probe, and keeps no healthy one waiting. One request probes
//! at a time, not a handful. What `failsafe` and `recloser`
//! do not have: see docs/decisions/0010-a-sick-provider-is-left-alone.md.

use std::collections::VecDeque;
use std::time::Duration;

use latchkey_providers::{FailureClass, TOKEN_TOO_LARGE, TokenError};
use tokio::time::Instant;

/// Outcomes that are remembered, the latest of each account.
const WINDOW: usize = 32;
/// What is older says nothing about now.
const WINDOW_AGE: Duration = Duration::from_mins(2);
/// Failures of fewer accounts than this are those accounts' own.
const MIN_FAILURES: usize = 3;

/// First time that the breaker stays open, doubled with each probe that fails up
/// to the second. While a provider is down it is asked every few seconds, so that the
/// first to be served does not wait long after its return.
const PASSING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));
const OPERATORS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(5));
/// A provider's hint is believed up to this.
const MAX_HINT: Duration = Duration::from_mins(10);
/// A probe is under way: the next one is sent so much later, whatever became of it. A
/// provider that does not answer would else hold it for as long as it may take.
const BETWEEN_PROBES: Duration = Duration::from_secs(4);

/// Whether an account's last refresh succeeded. An account that fails says little about
/// the provider: it may be the account that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountHealth {
    /// It did.
    Healthy,
    /// It did not.
    Failing,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub struct SentRequest {
    /// Of the account, before it.
    pub health: AccountHealth,
    /// Whether it was to find out if the provider is back.
    pub probe: bool,
}

/// What a request says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works, also where it refuses one grant.
    Success,
    /// It refused one grant for a reason that is not upstreams: that is about the grant.
    Ignored,
    /// It does not, or not for this deployment.
    Failure {
        /// How.
        class: FailureClass,
        /// Its `Retry-After`.
        hint: Option<Duration>,
    },
}

impl Outcome {
    /// What an error says. Refusing one grant is healthy.
    pub fn of(error: &TokenError) -> Self {
        // One person's token says nothing of the others.
        if error.code.as_deref() == Some(TOKEN_TOO_LARGE) {
            return Self::Ignored;
        }
        match error.class {
            class @ (FailureClass::ProviderUnavailable
            | FailureClass::Network
            | FailureClass::OutcomeUnknown
            | FailureClass::MalformedResponse
            | FailureClass::RateLimit
            | FailureClass::ClientMisconfigured
            | FailureClass::Unauthorized) => Self::Failure {
                class,
                hint: error.retry_after,
            },
            FailureClass::Unknown => Self::Ignored,
            _ => Self::Success,
        }
    }
}

/// No request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOpen {
    /// The failure that opened the breaker.
    pub class: FailureClass,
    /// When the next probe goes out.
    pub retry_after: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open(Open),
}

#[derive(Debug, Clone, Copy)]
struct Open {
    class: FailureClass,
    /// Probes of healthy accounts that failed.
    failed_probes: u32,
    /// When a healthy account may probe.
    healthy_probe_at: Instant,
    /// When one may whose last refresh failed. What comes of it keeps no healthy account
    /// waiting.
    failing_probe_at: Instant,
}

impl Open {
    fn from(&mut self, health: AccountHealth) -> &mut Instant {
        match health {
            AccountHealth::Healthy => &mut self.healthy_probe_at,
            AccountHealth::Failing => &mut self.failing_probe_at,
        }
    }
}

/// The breaker of one way to a provider.
#[derive(Debug)]
pub struct CircuitBreaker {
    state: State,
    /// Whose, whether it failed, and when; the latest last.
    recent: VecDeque<(u64, bool, Instant)>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            recent: VecDeque::with_capacity(WINDOW),
        }
    }
}

impl CircuitBreaker {
    /// Why no request would be let through now; nothing where one would.
    pub fn rejection(&self, health: AccountHealth, now: Instant) -> Option<CircuitOpen> {
        let State::Open(mut open) = self.state else {
            return None;
        };
        let from = *open.from(health);
        (from > now).then(|| CircuitOpen {
            class: open.class,
            retry_after: from - now,
        })
    }

    /// Asks to send a request: true where it is a probe.
    pub fn acquire(&mut self, health: AccountHealth, now: Instant) -> Result<bool, CircuitOpen> {
        if let Some(open) = self.rejection(health, now) {
            return Err(open);
        }
        match &mut self.state {
            State::Closed => Ok(false),
            State::Open(open) => {
                *open.from(health) = now + BETWEEN_PROBES;
                Ok(true)
            }
        }
    }

    /// The probe was not sent: the next request is one.
    pub fn abandon(&mut self, health: AccountHealth, now: Instant) {
        if let State::Open(open) = &mut self.state {
            *open.from(health) = now;
        }
    }

    /// Takes an outcome. `source` says whose, `jitter` of 0 to 1 keeps replicas
    /// from probing in step. True where the breaker opened or closed.
    pub fn record(
        &mut self,
        source: u64,
        sent: SentRequest,
        outcome: Outcome,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match (self.state, outcome) {
            (State::Open(_), Outcome::Success) if sent.probe => {
                self.recent.clear();
                self.state = State::Closed;
                true
            }
            (State::Open(open), Outcome::Failure { class, hint }) if sent.probe => {
                self.record_failed_probe(open, sent.health, class, hint, now, jitter);
                false
            }
            (State::Open(_), Outcome::Ignored) if sent.probe => {
                if sent.health == AccountHealth::Healthy {
                    self.abandon(sent.health, now);
                }
                false
            }
            (State::Closed, Outcome::Success) => {
                self.remember(source, false, now);
                false
            }
            // A failure counts where the account was healthy: from then on it fails, and
            // says nothing more of the provider.
            (State::Closed, Outcome::Failure { class, hint })
                if sent.health == AccountHealth::Healthy =>
            {
                self.remember(source, true, now);
                let failures = self.recent.iter().filter(|(_, failed, _)| *failed).count();
                let opens = failures >= MIN_FAILURES && failures * 2 >= self.recent.len();
                if opens {
                    let from = now + open_duration(class, hint, 0, jitter);
                    self.state = State::Open(Open {
                        class,
                        failed_probes: 0,
                        healthy_probe_at: from,
                        failing_probe_at: from,
                    });
                }
                opens
            }
            // SentRequest before the breaker opened: it knows that already.
            _ => false,
        }
    }

    fn remember(&mut self, source: u64, failed: bool, now: Instant) {
        self.recent
            .retain(|(whose, _, at)| *whose != source && now.duration_since(*at) < WINDOW_AGE);
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((source, failed, now));
    }

    /// A probe failed.
    fn record_failed_probe(
        &mut self,
        mut open: Open,
        health: AccountHealth,
        class: FailureClass,
        hint: Option<Duration>,
        now: Instant,
        jitter: f64,
    ) {
        if health == AccountHealth::Healthy {
            open.class = class;
            open.failed_probes += 1;
            open.healthy_probe_at = now + open_duration(class, hint, open.failed_probes, jitter);
        } else {
            open.failing_probe_at =
                now + open_duration(class, hint, open.failed_probes + 1, jitter);
        }
        self.state = State::Open(open);
    }
}

/// How long the provider is left alone after so many probes.
fn open_duration(
    class: FailureClass,
    hint: Option<Duration>,
    failed_probes: u32,
    jitter: f64,
) -> Duration {
    let (first, longest) = if class.is_operators() {
        OPERATORS
    } else {
        PASSING
    };
    let wait = first
        .saturating_mul(1 << failed_probes.min(16))
        .min(longest);
    let wait = wait.max(hint.unwrap_or_default().min(MAX_HINT));
    wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
#[path = "circuit_breaker/tests.rs"]
mod tests;
