//! Load: sign-ins and token calls at fixed rates, whether or not earlier ones were answered.

use std::error::Error as _;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use devstack::walkthrough::get_access_token;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::rates::Rates;
use crate::services::Services;
use crate::sign_in::sign_in;

use super::clients::Clients;
use super::people::People;

/// Errors of which the text is kept.
const ERRORS: usize = 3;
/// After this time a call or a sign-in has failed.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a call that was not sent is repeated: tonic connects meanwhile.
const PAUSE: Duration = Duration::from_millis(10);
/// As many calls wait for their answer at most as start in this number of seconds. A machine that is
/// too slow for the rate answers late, but before [`TIMEOUT`].
const WAITING: u32 = 10;
/// A stall of this program is not caught up with beyond this time: the calls would start all at
/// once.
const STALL: Duration = Duration::from_millis(500);

/// What happened to the calls of one kind.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Number of calls.
    pub calls: usize,
    /// Number of calls that the rate asks for.
    pub planned: usize,
    /// Number of calls that failed.
    pub failed: usize,
    /// Number of requests that were sent again on another connection.
    pub repeated: usize,
    /// The first errors.
    pub errors: Vec<String>,
    /// The longest time without a successful call.
    pub longest_gap: Duration,
    last_success: Instant,
}

impl Outcome {
    fn new() -> Self {
        Self {
            calls: 0,
            planned: 0,
            failed: 0,
            repeated: 0,
            errors: Vec::new(),
            longest_gap: Duration::ZERO,
            last_success: Instant::now(),
        }
    }

    fn record(&mut self, result: Result<(), String>) {
        self.calls += 1;
        match result {
            Ok(()) => self.end_gap(),
            Err(error) => {
                self.failed += 1;
                if self.errors.len() < ERRORS {
                    self.errors.push(error);
                }
            }
        }
    }

    /// Returns `true` if nearly as many calls were made as the rate asks for: calls are left out
    /// while too many wait, and sign-ins while there are no people.
    pub(super) fn is_at_rate(&self) -> bool {
        self.calls > 0 && self.calls * 4 >= self.planned * 3
    }

    /// Ends the last gap of the calls, which were to be made at this rate for this time.
    fn end(&mut self, rate: NonZeroU32, time: Duration) {
        self.end_gap();
        self.planned =
            usize::try_from(u64::from(rate.get()) * time.as_secs()).unwrap_or(usize::MAX);
    }

    fn end_gap(&mut self) {
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now - self.last_success);
        self.last_success = now;
    }
}

/// The outcomes of a test.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// Of sign-ins.
    pub sign_ins: Outcome,
    /// Of token calls.
    pub token_calls: Outcome,
    /// The people who signed in successfully.
    pub signed_in: Vec<String>,
}

/// Load that runs until it is stopped.
pub(super) struct Load {
    begun: Instant,
    rates: Rates,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
    outcomes: Arc<Mutex<Outcomes>>,
}

impl Load {
    /// Starts sign-ins of new people, and token calls for the accounts.
    pub(super) async fn start(
        services: &Arc<Services>,
        accounts: &[Uuid],
        people: &People,
        rates: Rates,
    ) -> anyhow::Result<Self> {
        let clients = Clients::connect(services).await?;
        let (supply, mut names) = People::queue();
        let browser = services.browser()?;
        let outcomes = Arc::new(Mutex::new(Outcomes {
            sign_ins: Outcome::new(),
            token_calls: Outcome::new(),
            signed_in: Vec::new(),
        }));
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(people.clone().supply(supply));
        let recorder = Arc::clone(&outcomes);
        tasks.spawn(at_rate(rates.sign_ins, stopping.clone(), move || {
            let (recorder, mut browser) = (Arc::clone(&recorder), browser.repeating());
            let person = names.try_recv();
            async move {
                // The demo provider has not created the next people yet.
                let Ok(person) = person else {
                    return;
                };
                let result = in_time(sign_in(&mut browser, &person)).await;
                record(&recorder, |all| {
                    all.sign_ins.repeated += browser.repeated();
                    if result.is_ok() {
                        all.signed_in.push(person);
                    }
                    all.sign_ins.record(result);
                });
            }
        }));
        let recorder = Arc::clone(&outcomes);
        let accounts = accounts.to_vec();
        let mut turn = 0;
        let connections = clients.connections();
        tasks.spawn(clients.follow_files(stopping.clone()));
        tasks.spawn(at_rate(rates.token_calls, stopping.clone(), move || {
            turn += 1;
            let recorder = Arc::clone(&recorder);
            let client = connections.borrow().next(turn);
            let account = accounts.get(turn % accounts.len().max(1)).copied();
            async move {
                let (Some(client), Some(account)) = (client, account) else {
                    return;
                };
                let mut repeated = 0;
                let result = in_time(call(client, account, &mut repeated)).await;
                record(&recorder, |all| {
                    all.token_calls.repeated += repeated;
                    all.token_calls.record(result);
                });
            }
        }));
        Ok(Self {
            begun: Instant::now(),
            rates,
            stopping,
            tasks,
            outcomes,
        })
    }

    /// Starts no more calls, waits for those in progress, and returns what happened.
    pub(super) async fn stop(self) -> Outcomes {
        self.stopping.cancel();
        let time = self.begun.elapsed();
        self.tasks.join_all().await;
        let mut all = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        all.sign_ins.end(self.rates.sign_ins, time);
        all.token_calls.end(self.rates.token_calls, time);
        Outcomes {
            sign_ins: std::mem::replace(&mut all.sign_ins, Outcome::new()),
            token_calls: std::mem::replace(&mut all.token_calls, Outcome::new()),
            signed_in: std::mem::take(&mut all.signed_in),
        }
    }
}

fn record(outcomes: &Mutex<Outcomes>, change: impl FnOnce(&mut Outcomes)) {
    change(&mut outcomes.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Asks for a token. A call that no replica has processed is repeated, as other libraries of gRPC do
/// by themselves (transparent retries, gRFC A6): as often as it was not sent, and once if it was.
async fn call(
    mut client: TokenServiceClient<Channel>,
    account: Uuid,
    repeated: &mut usize,
) -> anyhow::Result<()> {
    let remaining = Duration::from_secs(1);
    let mut was_sent = false;
    loop {
        let result = get_access_token(&mut client, account, remaining).await;
        let unprocessed = result.as_ref().err().and_then(unprocessed);
        match unprocessed {
            Some(Unprocessed::NotSent) => tokio::time::sleep(PAUSE).await,
            Some(Unprocessed::LeftOut) if !was_sent => was_sent = true,
            Some(Unprocessed::LeftOut) | None => return result.map(|_| ()),
        }
        *repeated += 1;
    }
}

/// Why no replica has processed a call.
enum Unprocessed {
    /// The connection had ended before.
    NotSent,
    /// The replica ended the connection with a GOAWAY that leaves the call out (RFC 9113, section 6.8).
    LeftOut,
}

/// Returns why no replica has processed a call, as far as tonic says. A status that was received has
/// no source.
fn unprocessed(error: &anyhow::Error) -> Option<Unprocessed> {
    let status = error.downcast_ref::<Status>()?;
    let source = status.source()?;
    if status.code() == Code::Cancelled {
        return Some(Unprocessed::NotSent);
    }
    std::iter::successors(Some(source), |&cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<h2::Error>())
        .any(|error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        })
        .then_some(Unprocessed::LeftOut)
}

/// Returns the error of a call as text, also if it takes too long.
async fn in_time<T>(call: impl Future<Output = anyhow::Result<T>>) -> Result<(), String> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("no answer after {TIMEOUT:?}")),
    }
}

/// Starts a call `rate` times a second until it is stopped, and then waits for all of them.
async fn at_rate<F>(rate: NonZeroU32, stopping: CancellationToken, mut start: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut interval = tokio::time::interval(Duration::from_secs(1) / rate.get());
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let limit = usize::try_from(rate.get().saturating_mul(WAITING)).unwrap_or(usize::MAX);
    let mut calls = JoinSet::new();
    loop {
        let planned = tokio::select! {
            () = stopping.cancelled() => break,
            planned = interval.tick() => planned,
        };
        while calls.try_join_next().is_some() {}
        if planned.elapsed() > STALL {
            interval.reset();
        }
        if calls.len() < limit {
            calls.spawn(start());
        }
    }
    drop(start);
    calls.join_all().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_that_was_left_out_is_noticed() {
        let mut outcome = Outcome::new();
        outcome.end(NonZeroU32::new(50).unwrap(), Duration::from_secs(2));
        assert!(!outcome.is_at_rate());
        for _ in 0..75 {
            outcome.record(Ok(()));
        }
        assert!(outcome.is_at_rate());
        outcome.calls -= 1;
        assert!(!outcome.is_at_rate());
    }

    #[test]
    fn the_longest_gap_lies_between_successful_calls() {
        let mut outcome = Outcome::new();
        outcome.last_success -= Duration::from_secs(2);
        outcome.record(Err("refused".to_owned()));
        assert_eq!(outcome.longest_gap, Duration::ZERO);
        outcome.record(Ok(()));
        assert!(outcome.longest_gap >= Duration::from_secs(2));
        assert_eq!((outcome.calls, outcome.failed), (2, 1));
        assert_eq!(outcome.errors, ["refused"]);
    }
}
