//! Logout tokens at a fixed rate while people sign in, and a look at every session afterwards.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use latchkey_demo_provider::Flavour;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::people::{AT_ONCE, Person, Session};
use super::replicas::Replicas;
use super::sign_ins;
use super::testbed::LogoutTestbed;
use crate::load::Measurement;
use crate::options::LogoutOptions;

/// From a logout token to the refusal of the session at every replica.
const LIMIT: Duration = Duration::from_secs(2);
/// How long the last event may take after everything else.
const EVENTS_TIMEOUT: Duration = Duration::from_mins(1);

/// Which of the sessions end.
#[derive(Debug, Clone, Copy)]
pub enum Share {
    /// Half of them.
    Half,
    /// All.
    All,
}

/// The result of a run.
pub struct Storm {
    /// Number of sessions that should end.
    pub ended: usize,
    /// Number of logout tokens.
    pub tokens: usize,
    /// Time from a logout token to the refusal of cookie and access token at the other replica. A
    /// token failed if it was not accepted, or if the refusal came later than after two seconds.
    pub refused: Measurement,
    /// Number of sessions that should have ended and live.
    pub wrongly_alive: usize,
    /// Number of sessions that should live and ended, also of the sign-ins.
    pub wrongly_ended: usize,
    /// Number of `session.ended.v1`.
    pub events: usize,
    /// The sign-ins meanwhile.
    pub sign_ins: Measurement,
}

impl Storm {
    /// Returns `true` if exactly the right sessions ended in time, each with one event, and every
    /// sign-in succeeded.
    pub fn is_right(&self) -> bool {
        self.refused.failed == 0
            && self.wrongly_alive == 0
            && self.wrongly_ended == 0
            && self.events == self.ended
            && self.sign_ins.failed == 0
    }
}

/// A logout token that is due, and the sessions that it ends.
struct Order {
    claims: Map<String, Value>,
    sessions: Vec<Arc<Session>>,
}

/// Ends sessions while people sign in, then asks for every session.
pub async fn run(
    testbed: &mut LogoutTestbed,
    name: &str,
    people: &[Person],
    share: Share,
    options: LogoutOptions,
) -> anyhow::Result<Storm> {
    let orders = orders(people, share);
    let ending: HashSet<String> = orders
        .iter()
        .flat_map(|order| &order.sessions)
        .map(|session| session.sid.clone())
        .collect();
    let (ended, tokens) = (ending.len(), orders.len());
    let before = events(testbed).await?;
    let names = format!("{name}-storm");
    let length = options.length();
    let ((sign_ins, secrets), refused) = tokio::try_join!(
        sign_ins::run(testbed, &names, options, length),
        send(testbed, orders, length)
    )?;

    let replicas = &testbed.replicas;
    let sessions: Vec<&Arc<Session>> = people.iter().flat_map(|one| &one.sessions).collect();
    let wrong: Vec<Option<bool>> = futures::stream::iter(sessions)
        .map(|session| {
            let should_end = ending.contains(&session.sid);
            async move {
                let accepted = session.accepted(replicas).await?;
                let wrong = accepted.contains(&should_end);
                anyhow::Ok(wrong.then_some(should_end))
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let count = |should_end| wrong.iter().filter(|one| **one == Some(should_end)).count();
    let signed_in: Vec<bool> = futures::stream::iter(&secrets)
        .map(|secret| replicas.accepts_cookie(secret))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let lost = signed_in.iter().filter(|lives| !**lives).count();

    let waited = Instant::now();
    let mut published = events(testbed).await? - before;
    while published < ended && waited.elapsed() < EVENTS_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(500)).await;
        published = events(testbed).await? - before;
    }
    Ok(Storm {
        ended,
        tokens,
        refused,
        wrongly_alive: count(true),
        wrongly_ended: count(false) + lost,
        events: published,
        sign_ins,
    })
}

/// A tenth of the people is signed out as a whole (`sub`). Of the others, one session (`sid`) or each
/// ends; if half of the sessions end, those of the last tenth live.
fn orders(people: &[Person], share: Share) -> Vec<Order> {
    let tenth = people.len() / 10;
    let mut orders = Vec::new();
    for (number, person) in people.iter().enumerate() {
        if number < tenth {
            orders.push(Order {
                claims: claims(&[("sub", &person.subject)]),
                sessions: person.sessions.clone(),
            });
            continue;
        }
        let ending = match share {
            Share::All => person.sessions.len(),
            Share::Half => usize::from(number < people.len() - tenth),
        };
        for session in person.sessions.iter().take(ending) {
            orders.push(Order {
                // As Keycloak's: they name the person too, whose other session lives.
                claims: claims(&[("sid", &session.sid), ("sub", &person.subject)]),
                sessions: vec![Arc::clone(session)],
            });
        }
    }
    orders.shuffle(&mut SmallRng::seed_from_u64(1));
    orders
}

fn claims(pairs: &[(&str, &str)]) -> Map<String, Value> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect()
}

/// Sends the logout tokens over this time.
async fn send(
    testbed: &LogoutTestbed,
    orders: Vec<Order>,
    length: Duration,
) -> anyhow::Result<Measurement> {
    let gap = length / u32::try_from(orders.len().max(1))?;
    let mut sending = JoinSet::new();
    let begun = Instant::now();
    let mut due = begun;
    for Order { claims, sessions } in orders {
        tokio::time::sleep_until(due.into()).await;
        let demo = testbed.stack.demo();
        let token = demo.logout_token(Flavour::Oidc, &claims)?;
        sending.spawn(end(testbed.replicas.clone(), token, sessions));
        due += gap;
    }
    let mut refused = Measurement::empty()?;
    while let Some(took) = sending.join_next().await {
        refused.record(took??);
    }
    refused.elapsed = begun.elapsed();
    Ok(refused)
}

/// Sends a logout token and asks for its sessions until the other replica refuses them. Returns how
/// long that took, or `None` if the token is not accepted or the limit is over.
async fn end(
    replicas: Replicas,
    token: String,
    sessions: Vec<Arc<Session>>,
) -> anyhow::Result<Option<Duration>> {
    let begun = Instant::now();
    if !replicas.accept(&token).await {
        return Ok(None);
    }
    for session in sessions {
        while session.accepted(&replicas).await?.contains(&true) {
            if begun.elapsed() > LIMIT {
                return Ok(None);
            }
        }
    }
    let took = begun.elapsed();
    Ok((took <= LIMIT).then_some(took))
}

/// Returns the number of `session.ended.v1` so far.
async fn events(testbed: &mut LogoutTestbed) -> anyhow::Result<usize> {
    let recorded = testbed.recorder.all().await?;
    let ended = recorded
        .iter()
        .filter(|message| message.routing_key == "session.ended.v1");
    Ok(ended.count())
}
