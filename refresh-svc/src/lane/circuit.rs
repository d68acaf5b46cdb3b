//! A circuit breaker that knows whose failures it counts: a state machine
//! without I/O.
//!
//! Accounts that always fail must not close the way for the others, so a failure counts
//! where the account was sound before, and an account that fails is no measure of whether
//! the provider is back: it may probe, and keeps no sound one waiting. One request probes
//! at a time, not a handful. What `failsafe` and `recloser`
//! do not have: see docs/decisions/0010-a-sick-provider-is-left-alone.md.

use std::collections::VecDeque;
use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_providers::{FailureClass, TOKEN_TOO_LARGE, TokenError};
use tokio::time::Instant;

/// Outcomes that are remembered, the latest of each account.
const MEMORY: usize = 32;
/// What is older says nothing about now.
const OLDEST: Duration = Duration::from_mins(2);
/// Failures of fewer accounts than this are those accounts' own.
const FEWEST_FAILURES: usize = 3;

/// How long the circuit stays open. While a provider is down it is asked every few seconds,
/// so that the first to be served does not wait long after its return.
const PASSING: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(4))
    .unwrap()
    .lengthened_by(25);
const OPERATORS: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(5))
    .unwrap()
    .lengthened_by(25);
/// A provider's hint is believed up to this.
const LONGEST_HINT: Duration = Duration::from_mins(10);
/// A probe is under way: the next one is sent so much later, whatever became of it. A
/// provider that does not answer would else hold it for as long as it may take.
const BETWEEN_PROBES: Duration = Duration::from_secs(4);

/// Whether an account's last refresh succeeded. An account that fails says little about
/// the provider: it may be the account that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It did.
    Sound,
    /// It did not.
    Failing,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Of the account, before it.
    pub standing: Standing,
    /// Whether it was to find out if the provider is back.
    pub probe: bool,
}

/// What a request says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works, also where it refuses one grant.
    Healthy,
    /// It refused one grant for a reason that is not known: that is about the grant.
    Silent,
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
        // One person's token says nothing of the others.
        if error.code.as_deref() == Some(TOKEN_TOO_LARGE) {
            return Self::Silent;
        }
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
            FailureClass::Unknown => Self::Silent,
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
    Open(Open),
}

#[derive(Debug, Clone, Copy)]
struct Open {
    class: FailureClass,
    /// Probes of sound accounts that failed.
    times: u32,
    /// When a sound account may probe.
    sound_from: Instant,
    /// When one may whose last refresh failed. What comes of it keeps no sound account
    /// waiting.
    failing_from: Instant,
}

impl Open {
    fn from(&mut self, standing: Standing) -> &mut Instant {
        match standing {
            Standing::Sound => &mut self.sound_from,
            Standing::Failing => &mut self.failing_from,
        }
    }
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
    pub fn shut(&self, standing: Standing, now: Instant) -> Option<Shut> {
        let State::Open(mut open) = self.state else {
            return None;
        };
        let from = *open.from(standing);
        (from > now).then(|| Shut {
            class: open.class,
            retry_after: from - now,
        })
    }

    /// Asks to send a request: true where it is a probe.
    pub fn admit(&mut self, standing: Standing, now: Instant) -> Result<bool, Shut> {
        if let Some(shut) = self.shut(standing, now) {
            return Err(shut);
        }
        match &mut self.state {
            State::Closed => Ok(false),
            State::Open(open) => {
                *open.from(standing) = now + BETWEEN_PROBES;
                Ok(true)
            }
        }
    }

    /// The probe was not sent: the next request is one.
    pub fn abandon(&mut self, standing: Standing, now: Instant) {
        if let State::Open(open) = &mut self.state {
            *open.from(standing) = now;
        }
    }

    /// Takes an outcome. `source` says whose, `jitter` of 0 to 1 keeps replicas
    /// from probing in step. True where the circuit opened or closed.
    pub fn record(
        &mut self,
        source: u64,
        sent: Sent,
        verdict: Verdict,
        now: Instant,
        jitter: f64,
    ) -> bool {
        match (self.state, verdict) {
            (State::Open(_), Verdict::Healthy) if sent.probe => {
                self.recent.clear();
                self.state = State::Closed;
                true
            }
            (State::Open(open), Verdict::Sick { class, hint }) if sent.probe => {
                self.probed(open, sent.standing, class, hint, now, jitter);
                false
            }
            (State::Open(_), Verdict::Silent) if sent.probe => {
                if sent.standing == Standing::Sound {
                    self.abandon(sent.standing, now);
                }
                false
            }
            (State::Closed, Verdict::Healthy) => {
                self.remember(source, false, now);
                false
            }
            // A failure counts where the account was sound: from then on it fails, and
            // says nothing more of the provider.
            (State::Closed, Verdict::Sick { class, hint }) if sent.standing == Standing::Sound => {
                self.remember(source, true, now);
                let failures = self.recent.iter().filter(|(_, sick, _)| *sick).count();
                let opens = failures >= FEWEST_FAILURES && failures * 2 >= self.recent.len();
                if opens {
                    let from = now + wait(class, hint, 0, jitter);
                    self.state = State::Open(Open {
                        class,
                        times: 0,
                        sound_from: from,
                        failing_from: from,
                    });
                }
                opens
            }
            // Sent before the circuit opened: it knows that already.
            _ => false,
        }
    }

    fn remember(&mut self, source: u64, sick: bool, now: Instant) {
        self.recent
            .retain(|(whose, _, at)| *whose != source && now.duration_since(*at) < OLDEST);
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back((source, sick, now));
    }

    /// A probe failed.
    fn probed(
        &mut self,
        mut open: Open,
        standing: Standing,
        class: FailureClass,
        hint: Option<Duration>,
        now: Instant,
        jitter: f64,
    ) {
        if standing == Standing::Sound {
            open.class = class;
            open.times += 1;
            open.sound_from = now + wait(class, hint, open.times, jitter);
        } else {
            open.failing_from = now + wait(class, hint, open.times + 1, jitter);
        }
        self.state = State::Open(open);
    }
}

/// How long the provider is left alone after so many probes.
fn wait(class: FailureClass, hint: Option<Duration>, times: u32, jitter: f64) -> Duration {
    let backoff = if class.is_operators() {
        OPERATORS
    } else {
        PASSING
    };
    let wait = backoff.without_jitter(times.saturating_add(1));
    backoff.jittered(wait.max(hint.unwrap_or_default().min(LONGEST_HINT)), jitter)
}

#[cfg(test)]
#[path = "circuit/tests.rs"]
mod tests;
