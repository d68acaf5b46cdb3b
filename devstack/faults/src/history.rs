//! The history: what was asked, what was answered, and when, as the driver saw it. It is only
//! appended to, one line of JSON for each entry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use latchkey_domain::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fault::Fault;
use crate::part::Target;

/// A time in microseconds since 1970. The driver, the provider and the database have one clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Later than everything that was answered.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the present time.
    pub fn now() -> Self {
        Self::from(SystemClock.now())
    }

    /// Returns the moment so many seconds after 1970.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(
            u64::try_from(seconds)
                .unwrap_or_default()
                .saturating_mul(1_000_000),
        )
    }

    /// Returns the time that passed since an earlier moment.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Returns the moment that lies so much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(microseconds(time)))
    }

    /// Returns the moment that lies so much earlier.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(microseconds(time)))
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        Self(u64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or_default())
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The provider of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The strict OpenID provider, which rotates refresh tokens and accepts each of them once.
    Strict,
    /// Google.
    Google,
}

impl Provider {
    /// Returns the name of the provider in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "demo",
            Self::Google => "google",
        }
    }
}

/// A person, who has one account at one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Short name at the demo provider.
    pub name: String,
    /// The provider.
    pub provider: Provider,
}

impl Person {
    /// Returns the mail address of the person.
    pub fn handle(&self) -> String {
        format!("{}@acme.example", self.name)
    }
}

/// What a person chose while they connected an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Visibility of messages.
    pub messages: String,
    /// Visibility of the calendar.
    pub calendar: String,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// A sign-in. It is asked when the browser opens the callback.
    SignIn {
        /// Who signs in.
        person: Person,
    },
    /// A deliberate connection with choices. It is asked when the browser opens the callback.
    Connect {
        /// Whose account.
        person: Person,
        /// The choices.
        choice: Choice,
    },
    /// A disconnect on auth-svc's page, or `RevokeAccount`.
    Disconnect {
        /// Whose account.
        person: Person,
        /// The account.
        account: Uuid,
    },
    /// `GetAccessToken`, or `RefreshAccessToken`.
    Token {
        /// Whose account.
        person: Person,
        /// The account.
        account: Uuid,
        /// Asked after every fault had ended and every queue was empty.
        last: bool,
    },
}

impl Operation {
    /// Returns the person whom it concerns.
    pub fn person(&self) -> &Person {
        match self {
            Self::SignIn { person }
            | Self::Connect { person, .. }
            | Self::Disconnect { person, .. }
            | Self::Token { person, .. } => person,
        }
    }

    /// Returns whether it authenticates the person at the provider.
    pub fn authenticates(&self) -> bool {
        matches!(self, Self::SignIn { .. } | Self::Connect { .. })
    }
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Done, confirmed.
    Done,
    /// A token.
    Token {
        /// Its version.
        version: i64,
        /// Whether the provider's API accepts it; absent if the provider was not asked.
        accepted: Option<bool>,
    },
    /// The service refused with this reason. It may have done it nevertheless.
    Refused {
        /// Status, code or reason.
        reason: String,
    },
    /// There is no answer. It may have been done, now or later.
    Unknown {
        /// The error.
        error: String,
    },
    /// An earlier step failed: the request that does it was never sent.
    NotSent {
        /// The error.
        error: String,
    },
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A call was asked.
    Asked {
        /// Number of the call.
        call: u64,
        /// When.
        at: Moment,
        /// What.
        #[serde(flatten)]
        operation: Operation,
    },
    /// A call was answered.
    Answered {
        /// Number of the call.
        call: u64,
        /// When.
        at: Moment,
        /// The answer.
        #[serde(flatten)]
        answer: Answer,
    },
    /// The account of a person was seen in the database for the first time.
    AccountSeen {
        /// Whose.
        person: Person,
        /// The account.
        account: Uuid,
        /// When.
        at: Moment,
    },
    /// A fault began.
    FaultBegun {
        /// Number of the fault.
        number: u64,
        /// The fault.
        fault: Fault,
        /// When.
        at: Moment,
    },
    /// A service reached the named point of a fault.
    PointReached {
        /// Number of the fault.
        number: u64,
        /// When, and with which account.
        reached: Reached,
    },
    /// A fault was ended, and nothing is known of the recovery yet.
    FaultEnded {
        /// Number of the fault.
        number: u64,
        /// When.
        at: Moment,
    },
}

/// A call as the entries tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// When.
    pub asked: Moment,
    /// When it was answered; [`Moment::NEVER`] if it was not.
    pub answered: Moment,
    /// The answer.
    pub answer: Answer,
}

impl Call {
    /// Returns whether the answer says that it was done.
    pub fn is_confirmed(&self) -> bool {
        self.answer == Answer::Done
    }

    /// Returns whether it was done or may have been.
    pub fn may_be_done(&self) -> bool {
        !matches!(self.answer, Answer::NotSent { .. })
    }

    /// Returns the time after which it takes no effect any more: that of the answer if it was
    /// confirmed.
    pub fn effective_until(&self) -> Moment {
        if self.is_confirmed() {
            self.answered
        } else {
            Moment::NEVER
        }
    }
}

/// How a service reached a named point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// When.
    pub at: Moment,
    /// The account that was being handled, if it is known.
    pub account: Option<Uuid>,
}

/// A fault as the entries tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultSpan {
    /// The fault.
    pub fault: Fault,
    /// When it began.
    pub begun: Moment,
    /// When it ended; [`Moment::NEVER`] if it did not.
    pub ended: Moment,
    /// How its named point was reached; `None` if it has none or was not reached.
    pub reached: Option<Reached>,
}

impl FaultSpan {
    /// Returns when something was broken: a named point is waited for first. `None` if the point was
    /// not reached.
    pub fn broken_from(&self) -> Option<Moment> {
        match self.fault {
            Fault::At(..) => self.reached.map(|reached| reached.at),
            _ => Some(self.begun),
        }
    }

    /// Returns whether an answer of the provider about this account may have been lost.
    pub fn may_lose_an_answer(&self, account: Option<Uuid>) -> bool {
        if self.fault.may_lose_an_answer_of_the_provider() {
            return true;
        }
        // At another point of refresh-svc the request of the account that reached it was not sent
        // or its answer is stored, but the process may be between the two for other accounts.
        let Fault::At(point, _) = self.fault else {
            return false;
        };
        let own = self.reached.and_then(|reached| reached.account);
        point.service() == Target::Refresh && (own.is_none() || own != account)
    }
}

/// Returns the calls of the entries, in the order in which they were asked.
pub fn calls(entries: &[Entry]) -> Vec<Call> {
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Asked {
                call,
                at,
                operation,
            } => {
                calls.insert(
                    *call,
                    Call {
                        operation: operation.clone(),
                        asked: *at,
                        answered: Moment::NEVER,
                        answer: Answer::Unknown {
                            error: "the driver stopped".to_owned(),
                        },
                    },
                );
            }
            Entry::Answered { call, at, answer } => {
                if let Some(call) = calls.get_mut(call) {
                    call.answered = *at;
                    call.answer = answer.clone();
                }
            }
            _ => {}
        }
    }
    let mut calls: Vec<Call> = calls.into_values().collect();
    calls.sort_by_key(|call| call.asked);
    calls
}

/// Returns the faults of the entries, in the order in which they began.
pub fn faults(entries: &[Entry]) -> Vec<FaultSpan> {
    let mut spans: BTreeMap<u64, FaultSpan> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::FaultBegun { number, fault, at } => {
                spans.insert(
                    *number,
                    FaultSpan {
                        fault: *fault,
                        begun: *at,
                        ended: Moment::NEVER,
                        reached: None,
                    },
                );
            }
            Entry::PointReached { number, reached } => {
                if let Some(span) = spans.get_mut(number) {
                    span.reached = Some(*reached);
                }
            }
            Entry::FaultEnded { number, at } => {
                if let Some(span) = spans.get_mut(number) {
                    span.ended = *at;
                }
            }
            _ => {}
        }
    }
    spans.into_values().collect()
}

#[derive(Debug)]
struct Log {
    file: BufWriter<File>,
    entries: Vec<Entry>,
    failed: bool,
}

/// A history that is being written.
#[derive(Debug)]
pub struct History {
    log: Mutex<Log>,
    next: AtomicU64,
}

impl History {
    /// Creates the file of a new history.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            log: Mutex::new(Log {
                file: BufWriter::new(file),
                entries: Vec::new(),
                failed: false,
            }),
            next: AtomicU64::new(1),
        })
    }

    /// Appends that a call is asked at this time. Returns its number.
    pub fn asked(&self, at: Moment, operation: Operation) -> u64 {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        self.append(Entry::Asked {
            call,
            at,
            operation,
        });
        call
    }

    /// Appends that a call was answered now.
    pub fn answered(&self, call: u64, answer: Answer) {
        self.append(Entry::Answered {
            call,
            at: Moment::now(),
            answer,
        });
    }

    /// Appends that a fault begins now. Returns its number.
    pub fn fault_begun(&self, fault: Fault) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.append(Entry::FaultBegun {
            number,
            fault,
            at: Moment::now(),
        });
        number
    }

    /// Appends that a service reached the named point of a fault.
    pub fn point_reached(&self, number: u64, reached: Reached) {
        self.append(Entry::PointReached { number, reached });
    }

    /// Appends that a fault has ended now.
    pub fn fault_ended(&self, number: u64) {
        self.append(Entry::FaultEnded {
            number,
            at: Moment::now(),
        });
    }

    /// Appends an entry.
    pub fn append(&self, entry: Entry) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_writer(&mut log.file, &entry).is_ok()
            && log.file.write_all(b"\n").is_ok();
        log.failed |= !written;
        log.entries.push(entry);
    }

    /// Returns the entries so far, and writes them to the file.
    ///
    /// # Errors
    /// Not every entry is in the file.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.file.flush().context("the history cannot be written")?;
        anyhow::ensure!(!log.failed, "an entry of the history was not written");
        Ok(log.entries.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Point, PointSignal};

    #[test]
    fn the_file_has_every_entry_in_one_line_each() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let history = History::create(&path).unwrap();
        let person = Person {
            name: "p1".to_owned(),
            provider: Provider::Strict,
        };
        let call = history.asked(Moment(5), Operation::SignIn { person });
        history.answered(call, Answer::Done);
        let fault = history.fault_begun(Fault::BrokerKilled);
        history.fault_ended(fault);
        let at = Fault::At(Point::LeaseTaken, PointSignal::Stop);
        let reached = Reached {
            at: Moment(7),
            account: Some(Uuid::from_u128(1)),
        };
        history.point_reached(history.fault_begun(at), reached);
        let entries = history.entries().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<Entry> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, entries);
        let calls = calls(&read);
        assert!(calls.iter().all(Call::is_confirmed));
        assert_eq!(calls.first().unwrap().asked, Moment(5));
        let faults = faults(&read);
        let reached: Vec<Option<Reached>> = faults.iter().map(|span| span.reached).collect();
        assert_eq!(
            reached,
            [
                None,
                Some(Reached {
                    at: Moment(7),
                    account: Some(Uuid::from_u128(1))
                })
            ]
        );
        assert_eq!(faults.last().unwrap().broken_from(), Some(Moment(7)));
    }

    #[test]
    fn a_call_without_an_answer_may_take_effect_at_any_time() {
        let person = Person {
            name: "p1".to_owned(),
            provider: Provider::Strict,
        };
        let asked = Entry::Asked {
            call: 1,
            at: Moment(5),
            operation: Operation::SignIn { person },
        };
        let calls = calls(&[asked]);
        let call = calls.first().unwrap();
        assert!(call.may_be_done() && !call.is_confirmed());
        assert_eq!(call.effective_until(), Moment::NEVER);
    }
}
