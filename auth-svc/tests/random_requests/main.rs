//! Random and mutated requests over each public endpoint of the running service:
//! no 5xx, no panic, and memory stays where it was.
//!
//! `LATCHKEY_RANDOM_REQUESTS` says how many there are at each endpoint (10000 is
//! the whole of it; a test run has fewer, to be done in a minute), and
//! `LATCHKEY_RANDOM_SEED` repeats a run. A binary of its own, so that the memory
//! that is measured is that of nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "helpers are shared with the tests beside, and what fails in one fails its test"
)]

#[path = "../api"]
mod api {
    pub mod helpers;
}

mod mutate;
mod wire;

use std::collections::BTreeMap;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::helpers::TestApp;
use latchkey_demo_provider::Decision;
use mutate::{Dice, Seed};

/// Requests at each endpoint where nothing else is said.
const FEW: usize = 200;

/// A test run stops early rather than take longer.
const LIMIT: Duration = Duration::from_mins(1);

/// What may come on top: allocators keep what they were given once.
const GROWTH: usize = 24 * 1024 * 1024;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Every operation that is described, with what an honest request looks like.
async fn seeds(app: &TestApp) -> Vec<Seed> {
    let mut signed_in = app.signed_in("ada").await;
    let document: serde_json::Value =
        serde_json::from_str(&signed_in.get("/openapi.json").await.body).unwrap();
    let mut seeds = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if item.get(method).is_none() {
                continue;
            }
            let provider = if path.contains("oidc") {
                "demo"
            } else {
                "google"
            };
            let path = path.replace("{provider}", provider);
            let method = method.to_uppercase();
            // A callback with a living flow, one with a session, one bare.
            let start = path
                .strip_suffix("/redirect")
                .or_else(|| path.strip_suffix("/get-access-token"));
            let mut target = path.clone();
            let mut cookies = signed_in.cookies.clone();
            if let Some(start) = start {
                let mut browser = signed_in.clone();
                let start = format!("{start}?prompt=consent");
                target = app
                    .to_callback(&mut browser, &start, &Decision::allow("ada"))
                    .await;
                cookies = browser.cookies;
            } else if path.starts_with("/auth/") {
                target = format!(
                    "{path}?returnTo=/a&workspaceId=018f6b1e-0000-7000-8000-000000000000\
                     &loginHint=ada@acme.example&messageVisibility=SUBJECT&prompt=login"
                );
            }
            let cookie: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            seeds.push(Seed {
                method,
                target,
                cookie: cookie.join("; "),
            });
        }
    }
    seeds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_and_mutated_requests_break_nothing() {
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = panics.clone();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::SeqCst);
        hook(info);
    }));
    let app = TestApp::start_with(&[
        ("RATE_LIMIT_PER_ADDRESS", "0"),
        ("RATE_LIMIT_PER_FLOW", "0"),
    ])
    .await;
    let asked = number("LATCHKEY_RANDOM_REQUESTS").and_then(|count| usize::try_from(count).ok());
    let count = asked.unwrap_or(FEW);
    let seed = number("LATCHKEY_RANDOM_SEED").unwrap_or(0x5eed);
    let seeds = seeds(&app).await;
    let address = app.base.strip_prefix("http://").unwrap().to_owned();
    let started = Instant::now();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut sent = 0;
    let mut warm = 0;
    // In rounds over all endpoints, so that memory is looked at in between.
    let rounds = 10;
    for round in 0..rounds {
        let mut work = Vec::new();
        for (index, seed_request) in seeds.iter().enumerate() {
            let (seed_request, address) = (seed_request.clone(), address.clone());
            let dice = Dice::new(seed ^ (u64::try_from(round * 1000 + index).unwrap() << 20));
            work.push((address, seed_request, dice));
        }
        while !work.is_empty() {
            let some: Vec<_> = work.split_off(work.len().saturating_sub(4));
            let tasks: Vec<_> = some
                .into_iter()
                .map(|(address, seed, dice)| {
                    tokio::spawn(wire::storm(address, seed, dice, count.div_ceil(rounds)))
                })
                .collect();
            for task in tasks {
                for (status, how_many) in task.await.unwrap() {
                    *statuses.entry(status).or_default() += how_many;
                    sent += how_many;
                }
            }
        }
        if round == 1 {
            warm = resident();
        }
        if asked.is_none() && started.elapsed() > LIMIT {
            println!("stopped after {} of {rounds} rounds", round + 1);
            break;
        }
    }
    let grown = resident().saturating_sub(warm);
    println!(
        "{} endpoints, {sent} requests in {:?}, by status (0: connection closed) {statuses:?}, memory +{} kB",
        seeds.len(),
        started.elapsed(),
        grown / 1024
    );
    let broken = statuses.keys().filter(|status| **status >= 500).count();
    assert_eq!(broken, 0, "{statuses:?}");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "a handler panicked");
    assert!(warm == 0 || grown < GROWTH, "memory grew by {grown} bytes");
    assert_eq!(app.browser().get("/readyz").await.status, 200);
}
