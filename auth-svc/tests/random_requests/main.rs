//! Random and mutated requests to every public endpoint: there is no 5xx and no panic, and
//! memory does not grow.
//!
//! `LATCHKEY_RANDOM_REQUESTS` sets the number of requests to each endpoint (10000 for the
//! full test; the default finishes within a minute), and `LATCHKEY_RANDOM_SEED` repeats a
//! run. The service runs as a separate process, so that its memory can be measured. It has
//! no broker.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "helpers are shared with other test binaries, and a failure in one fails its test"
)]

#[path = "../api"]
mod api {
    pub mod support;
}

mod load;
mod mutate;
mod raw_http;
mod service;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::support::TestApp;
use latchkey_demo_provider::Decision;
use mutate::{Generator, ValidRequest};
use reqwest::Method;
use service::Service;
use tokio::task::JoinSet;

/// Default number of requests to each endpoint.
const DEFAULT_REQUESTS: usize = 200;

/// A run with the default number stops after this time.
const LIMIT: Duration = Duration::from_mins(1);

/// Maximum number of concurrent requests; more than the connections to the database.
const MAX_CONCURRENT: usize = 64;

/// Number of client connections for each endpoint.
const CONNECTIONS_PER_ENDPOINT: usize = 4;

/// Number of simultaneous requests to each route.
const SIMULTANEOUS: usize = 4;

/// Number of rounds; memory is measured after each.
const ROUNDS: usize = 10;

/// Maximum growth of memory in the second half of the rounds, in kB. A leak in every
/// request would exceed it; the rest is overhead of the allocator.
const GROWTH: usize = 8 * 1024;

fn env_number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Returns a valid request for every described operation.
async fn samples(app: &TestApp) -> Vec<ValidRequest> {
    let mut signed_in = app.signed_in("ada").await;
    let document: serde_json::Value =
        serde_json::from_str(&signed_in.get("/openapi.json").await.body).unwrap();
    let mut samples = Vec::new();
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
            // Callbacks get a valid flow; other routes get a session and parameters.
            let start = path
                .strip_suffix("/redirect")
                .or_else(|| path.strip_suffix("/get-access-token"));
            let mut target = path.clone();
            let mut cookies = signed_in.cookies.clone();
            if let Some(start) = start {
                let mut browser = signed_in.clone();
                let start = format!("{start}?prompt=consent");
                target = app
                    .run_flow_to_callback(&mut browser, &start, &Decision::allow("ada"))
                    .await;
                cookies = browser.cookies;
            } else if path.starts_with("/auth/") {
                target = format!(
                    "{path}?returnTo=/a&workspaceId=018f6b1e-0000-7000-8000-000000000000\
                     &loginHint=ada@acme.example&messageVisibility=SUBJECT&prompt=login"
                );
            }
            let cookie: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            samples.push(ValidRequest {
                method,
                target,
                cookie: cookie.join("; "),
            });
        }
    }
    samples
}

/// Runs one round over all endpoints and returns the number of responses by status.
async fn round(
    address: &str,
    samples: &[ValidRequest],
    random: impl Fn(usize) -> Generator,
    count: usize,
) -> BTreeMap<u16, usize> {
    let each = count.div_ceil(CONNECTIONS_PER_ENDPOINT);
    let mut work: Vec<_> = (0..CONNECTIONS_PER_ENDPOINT)
        .flat_map(|_| samples.iter().cloned())
        .enumerate()
        .collect();
    let mut statuses = BTreeMap::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.len() < MAX_CONCURRENT
            && let Some((index, sample)) = work.pop()
        {
            connections.spawn(raw_http::send_requests(
                address.to_owned(),
                sample,
                random(index),
                each,
            ));
        }
        let Some(connection) = connections.join_next().await else {
            return statuses;
        };
        for (status, how_many) in connection.unwrap() {
            *statuses.entry(status).or_default() += how_many;
        }
    }
}

/// A handler that holds a connection and waits for another one blocks itself, every time.
/// A machine that stalls delays a request once, so a request that failed is repeated alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_responds_with_one_database_connection() {
    let app = TestApp::start().await;
    let service = Service::start(app.variables(&[
        ("DATABASE_MAX_CONNECTIONS", "1"),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
        ("RATE_LIMIT_PER_FLOW", "0"),
    ]))
    .await;
    let mut requests = JoinSet::new();
    for sample in samples(&app).await {
        let target = sample
            .target
            .replace("{id}", "018f6b1e-0000-7000-8000-000000000000");
        for number in 0..SIMULTANEOUS {
            let mut browser = app.browser().at(&format!("http://{}", service.address));
            // Half of the requests have a session.
            if number % 2 == 0 {
                browser.headers.push(("cookie", sample.cookie.clone()));
            }
            let (method, target): (Method, _) = (sample.method.parse().unwrap(), target.clone());
            requests.spawn(async move {
                let response = browser.send(method.clone(), &target).await;
                (browser, method, target, response.status)
            });
        }
    }
    assert!(requests.len() >= 15 * SIMULTANEOUS, "{}", requests.len());
    let mut failed = Vec::new();
    while let Some(response) = requests.join_next().await {
        let (browser, method, target, status) = response.unwrap();
        if status >= 500 {
            failed.push((browser, method, target));
        }
    }
    for (mut browser, method, target) in failed {
        println!("repeated alone: {method} {target}");
        let response = browser.send(method.clone(), &target).await;
        assert!(
            response.status < 500,
            "{method} {target}: {} {}",
            response.status,
            response.body
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_and_mutated_requests_cause_no_server_error() {
    let app = TestApp::start().await;
    let service = Service::start(app.variables(&[
        ("DATABASE_MAX_CONNECTIONS", "16"),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
        ("RATE_LIMIT_PER_FLOW", "0"),
    ]))
    .await;
    let samples = samples(&app).await;
    let asked = env_number("LATCHKEY_RANDOM_REQUESTS");
    let seed = env_number("LATCHKEY_RANDOM_SEED").unwrap_or(0x5eed);
    let count = asked.unwrap_or(DEFAULT_REQUESTS).div_ceil(ROUNDS);
    let started = Instant::now();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut memory = vec![service.resident()];
    for round in 0..ROUNDS {
        let random =
            |index| Generator::new(u64::try_from(seed ^ ((round * 1000 + index) << 20)).unwrap());
        for (status, how_many) in self::round(&service.address, &samples, random, count).await {
            *statuses.entry(status).or_default() += how_many;
        }
        memory.push(service.resident());
        if asked.is_none() && started.elapsed() > LIMIT {
            println!("stopped after {} of {ROUNDS} rounds", round + 1);
            break;
        }
    }
    println!(
        "{} endpoints, {} requests in {:?}, by status (0: connection closed) {statuses:?}, \
         memory in kB after each round {memory:?}",
        samples.len(),
        statuses.values().sum::<usize>(),
        started.elapsed(),
    );
    let all: usize = statuses.values().sum();
    // When the machine stalls, every request of that moment may wait too long for the
    // database, and 503 is correct.
    let late = statuses.remove(&503).unwrap_or(0);
    let broken = statuses.keys().filter(|status| **status >= 500).count();
    assert_eq!(broken, 0, "{statuses:?}");
    let (half, end) = (memory[memory.len() / 2], memory[memory.len() - 1]);
    assert!(
        end < half + GROWTH,
        "memory grew from {half} kB to {end} kB: {memory:?}"
    );
    let pool_timeouts = service.stop().await;
    assert!(
        late.max(pool_timeouts) * 100 < all,
        "of {all} requests {late} were 503, and {pool_timeouts} waits for a connection timed out"
    );
}
