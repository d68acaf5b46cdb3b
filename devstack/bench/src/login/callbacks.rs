//! Load on the callback: closed loop and open loop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use latchkey_domain::{Clock as _, SystemClock};
use reqwest::header::{COOKIE, SET_COOKIE};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::people::Returning;
use crate::load::Measurement;

/// Callbacks at the same time in the closed loop.
pub const AT_ONCE: usize = 32;
/// Time limit of a callback.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Beginning of the cookie of a session.
const SESSION: &str = "__Host-latchkey-session=";

/// The result of a load.
pub struct Callbacks {
    /// Times until the responses of successful callbacks.
    pub measured: Measurement,
    /// When each callback was sent or, in an open loop, due: in seconds since 1970, by handle.
    pub sent: HashMap<String, f64>,
}

impl Callbacks {
    fn empty() -> anyhow::Result<Self> {
        Ok(Self {
            measured: Measurement::empty()?,
            sent: HashMap::new(),
        })
    }

    /// Fails if a callback was refused.
    pub fn all_succeeded(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.measured.failed == 0,
            "{} callbacks failed: the logs of the services say why",
            self.measured.failed
        );
        Ok(self)
    }
}

/// Creates a client whose connections are shared by all people.
pub fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?)
}

/// Opens all callbacks, `at_once` of them at the same time.
pub async fn closed(
    client: &reqwest::Client,
    people: Vec<Returning>,
    at_once: usize,
) -> anyhow::Result<Callbacks> {
    let begun = Instant::now();
    let waiting = Arc::new(Mutex::new(people.into_iter()));
    let mut browsers = JoinSet::new();
    for _ in 0..at_once {
        let (client, waiting) = (client.clone(), Arc::clone(&waiting));
        let mut all = Callbacks::empty()?;
        browsers.spawn(async move {
            loop {
                let next = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next();
                let Some(person) = next else {
                    return all;
                };
                let (sent, started) = (now(), Instant::now());
                let signed_in = open(&client, &person).await;
                all.measured.record(signed_in.then(|| started.elapsed()));
                all.sent.insert(person.handle, sent);
            }
        });
    }
    let mut all = Callbacks::empty()?;
    while let Some(some) = browsers.join_next().await {
        let some = some?;
        all.measured.add(&some.measured)?;
        all.sent.extend(some.sent);
    }
    all.measured.elapsed = begun.elapsed();
    all.all_succeeded()
}

/// Opens `rate` callbacks per second, whether or not earlier ones were answered. Times count from
/// when a callback was due.
pub async fn scheduled(
    client: &reqwest::Client,
    people: Vec<Returning>,
    rate: f64,
) -> anyhow::Result<Callbacks> {
    let gap = Duration::from_secs_f64(1.0 / rate.max(0.1));
    let mut all = Callbacks::empty()?;
    let mut calls = JoinSet::new();
    let (begun, begun_at) = (Instant::now(), now());
    let mut due = begun;
    for person in people {
        tokio::time::sleep_until(due).await;
        let sent = begun_at + (due - begun).as_secs_f64();
        all.sent.insert(person.handle.clone(), sent);
        let (client, started) = (client.clone(), due);
        calls.spawn(async move {
            let signed_in = open(&client, &person).await;
            signed_in.then(|| started.elapsed())
        });
        due += gap;
    }
    while let Some(call) = calls.join_next().await {
        all.measured.record(call?);
    }
    all.measured.elapsed = begun.elapsed();
    all.all_succeeded()
}

/// Opens a callback. Returns whether it began a session.
async fn open(client: &reqwest::Client, person: &Returning) -> bool {
    let request = client
        .get(person.callback.clone())
        .header(COOKIE, &person.cookies);
    let Ok(response) = request.send().await else {
        return false;
    };
    let cookies = response.headers().get_all(SET_COOKIE);
    let signed_in = response.status().is_redirection()
        && cookies
            .iter()
            .any(|cookie| cookie.as_bytes().starts_with(SESSION.as_bytes()));
    // The connection is used again once the response is read.
    response.bytes().await.is_ok() && signed_in
}

/// The time of the machine in seconds since 1970, which is precise to a microsecond.
#[expect(clippy::cast_precision_loss, reason = "53 bits hold the microseconds")]
fn now() -> f64 {
    let nanoseconds = SystemClock.now().unix_timestamp_nanos();
    (nanoseconds / 1_000) as f64 / 1e6
}
