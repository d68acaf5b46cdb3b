//! A circuit breaker that knows which accounts fail: a state machine without I/O.
//!
//! Accounts that always fail must not open the breaker for the others. So a failure
//! counts only if the account was healthy before, and the probe of a failing account
//! does not delay a healthy one. One request probes at a time.
//! The half-open state is not stored: it follows from the time of the next probe, which
//! healthy and failing accounts have separately. The crates `failsafe` and
//! `recloser` do not support this: see docs/decisions/0010-a-sick-provider-is-left-alone.md.

use std::collections::VecDeque;
use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_providers::{FailureClass, TOKEN_TOO_LARGE, TokenError};
use tokio::time::Instant;

/// Number of remembered outcomes, the latest of each account.
const WINDOW: usize = 32;
/// Older outcomes are ignored.
const WINDOW_AGE: Duration = Duration::from_mins(2);
/// Failures of fewer accounts than this do not open the breaker.
const MIN_FAILURES: usize = 3;

/// Time that the breaker stays open. A provider that is down is probed every few seconds, so
/// that callers do not wait long after its return.
const PASSING: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(4))
    .unwrap()
    .lengthened_by(25);
const OPERATORS: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(5))
    .unwrap()
    .lengthened_by(25);
/// Upper bound of a provider's `Retry-After`.
const MAX_HINT: Duration = Duration::from_mins(10);
/// If a probe is not answered, the next one is sent after this time. Otherwise a
/// provider that hangs would delay it by the request's deadline.
const BETWEEN_PROBES: Duration = Duration::from_secs(4);

/// Whether an account's last refresh succeeded. A failing account says little about the
/// provider: the account itself may be the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountHealth {
    /// The last refresh succeeded.
    Healthy,
    /// The last refresh failed.
    Failing,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub struct SentRequest {
    /// Health of the account before the request.
    pub health: AccountHealth,
    /// Set if the request was a probe.
    pub probe: bool,
}

/// What the result of a request says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider works, possibly refusing this grant.
    Success,
    /// The provider refused this grant for an unknown reason; this says nothing about
    /// the provider.
    Ignored,
    /// The provider does not work, or not for this deployment.
    Failure {
        /// Class of the failure.
        class: FailureClass,
        /// The provider's `Retry-After`.
        hint: Option<Duration>,
    },
}

impl Outcome {
    /// Classifies an error. Refusing one grant is a success of the provider.
    pub fn of(error: &TokenError) -> Self {
        // One person's oversized token says nothing about the provider.
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

/// The circuit breaker is open: no request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOpen {
    /// The failure that opened the breaker.
    pub class: FailureClass,
    /// Time until the next probe.
    pub retry_after: Duration,
}

/// State of the breaker for the accounts of one health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are sent.
    Closed,
    /// Requests are rejected.
    Open(CircuitOpen),
    /// The open time is over: the next request is a probe.
    HalfOpen,
}

/// Data of a breaker that is open or half-open.
#[derive(Debug, Clone, Copy)]
struct Opened {
    class: FailureClass,
    /// Failed probes of healthy accounts.
    failed_probes: u32,
    /// When a healthy account may probe.
    healthy_probe_at: Instant,
    /// When a failing account may probe. The outcome does not delay healthy accounts.
    failing_probe_at: Instant,
}

impl Opened {
    /// When an account of this health may probe.
    fn probe_at(&mut self, health: AccountHealth) -> &mut Instant {
        match health {
            AccountHealth::Healthy => &mut self.healthy_probe_at,
            AccountHealth::Failing => &mut self.failing_probe_at,
        }
    }
}

/// The circuit breaker of one upstream or provider.
#[derive(Debug)]
pub struct CircuitBreaker {
    /// `None` while the breaker is closed.
    opened: Option<Opened>,
    /// Account or tenant, whether it failed, and when; the latest last.
    recent: VecDeque<(u64, bool, Instant)>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            opened: None,
            recent: VecDeque::with_capacity(WINDOW),
        }
    }
}

impl CircuitBreaker {
    fn state(&self, health: AccountHealth, now: Instant) -> State {
        let Some(mut opened) = self.opened else {
            return State::Closed;
        };
        let probe_at = *opened.probe_at(health);
        if probe_at > now {
            State::Open(CircuitOpen {
                class: opened.class,
                retry_after: probe_at - now,
            })
        } else {
            State::HalfOpen
        }
    }

    /// Returns why a request would be rejected now. `None` if it would be sent.
    pub fn rejection(&self, health: AccountHealth, now: Instant) -> Option<CircuitOpen> {
        match self.state(health, now) {
            State::Open(open) => Some(open),
            State::Closed | State::HalfOpen => None,
        }
    }

    /// Acquires the right to send a request. Returns `true` if the request is a probe.
    pub fn acquire(&mut self, health: AccountHealth, now: Instant) -> Result<bool, CircuitOpen> {
        match self.state(health, now) {
            State::Open(open) => Err(open),
            State::Closed => Ok(false),
            State::HalfOpen => {
                self.set_probe_at(health, now + BETWEEN_PROBES);
                Ok(true)
            }
        }
    }

    /// Records that a probe was not sent: the next request is a probe.
    pub fn abandon(&mut self, health: AccountHealth, now: Instant) {
        self.set_probe_at(health, now);
    }

    fn set_probe_at(&mut self, health: AccountHealth, at: Instant) {
        if let Some(opened) = &mut self.opened {
            *opened.probe_at(health) = at;
        }
    }

    /// Records an outcome of `source` (an account or a tenant). `jitter` (0 to 1)
    /// spreads the probes of replicas. Returns `true` if the breaker opened or closed.
    pub fn record(
        &mut self,
        source: u64,
        sent: SentRequest,
        outcome: Outcome,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match (self.opened, outcome) {
            (Some(_), Outcome::Success) if sent.probe => {
                self.recent.clear();
                self.opened = None;
                true
            }
            (Some(opened), Outcome::Failure { class, hint }) if sent.probe => {
                self.record_failed_probe(opened, sent.health, class, hint, now, jitter);
                false
            }
            (Some(_), Outcome::Ignored) if sent.probe => {
                if sent.health == AccountHealth::Healthy {
                    self.abandon(sent.health, now);
                }
                false
            }
            (None, Outcome::Success) => {
                self.remember(source, false, now);
                false
            }
            // A failure counts if the account was healthy. From then on it is failing,
            // and its failures say nothing about the provider.
            (None, Outcome::Failure { class, hint }) if sent.health == AccountHealth::Healthy => {
                self.remember(source, true, now);
                let failures = self.recent.iter().filter(|(_, failed, _)| *failed).count();
                let opens = failures >= MIN_FAILURES && failures * 2 >= self.recent.len();
                if opens {
                    let from = now + open_duration(class, hint, 0, jitter);
                    self.opened = Some(Opened {
                        class,
                        failed_probes: 0,
                        healthy_probe_at: from,
                        failing_probe_at: from,
                    });
                }
                opens
            }
            // Sent before the breaker opened: nothing to record.
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

    /// Prolongs the open state after a failed probe.
    fn record_failed_probe(
        &mut self,
        mut opened: Opened,
        health: AccountHealth,
        class: FailureClass,
        hint: Option<Duration>,
        now: Instant,
        jitter: f64,
    ) {
        if health == AccountHealth::Healthy {
            opened.class = class;
            opened.failed_probes += 1;
            opened.healthy_probe_at =
                now + open_duration(class, hint, opened.failed_probes, jitter);
        } else {
            opened.failing_probe_at =
                now + open_duration(class, hint, opened.failed_probes + 1, jitter);
        }
        self.opened = Some(opened);
    }
}

/// How long the breaker stays open after so many failed probes.
fn open_duration(
    class: FailureClass,
    hint: Option<Duration>,
    failed_probes: u32,
    jitter: f64,
) -> Duration {
    let backoff = if class.is_operators() {
        OPERATORS
    } else {
        PASSING
    };
    let wait = backoff.without_jitter(failed_probes.saturating_add(1));
    backoff.jittered(wait.max(hint.unwrap_or_default().min(MAX_HINT)), jitter)
}

#[cfg(test)]
#[path = "circuit_breaker/tests.rs"]
mod tests;
