//! Where the time of a sign-in goes, from the spans of the services.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use devstack::ServiceId;
use latchkey_testkit::{ReceivedSpan, TraceReceiver};

use super::callbacks;
use super::people;
use super::testbed::LoginTestbed;

/// Variable of a service with the receiver of traces.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Callbacks per second: few enough that none waits for another, and that no span is dropped.
const RATE: f64 = 5.0;
/// Sign-ins before those that are measured, for connections and prepared statements.
const WARM_UP: usize = 30;
/// Spans that have not arrived by then are an error. Services export them every five seconds.
const LONGEST: Duration = Duration::from_mins(1);
/// How often the spans are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Names of the parts, in their order.
pub const PARTS: [&str; 9] = [
    "auth-svc: the request until the token request: flow cookie, look whether the flow was used",
    "token request to the provider",
    "ID token, until the transaction begins",
    "transaction of auth-svc",
    "… of which its statements",
    "rest of the request",
    "from the end of the transaction until the relay publishes",
    "relay: publication and confirmation",
    "from the publication until sync-svc has the message",
];
/// The last part.
pub const LAST: &str = "sync-svc: the message, with its transaction";

/// The parts of one sign-in in milliseconds: [`PARTS`], and then [`LAST`].
pub type Parts = [f64; PARTS.len() + 1];

/// Measures `count` sign-ins. The services export traces from now on.
pub async fn measure(testbed: &mut LoginTestbed, count: usize) -> anyhow::Result<Vec<Parts>> {
    let receiver = TraceReceiver::start();
    for id in [ServiceId::Auth, ServiceId::Sync] {
        testbed
            .restart_with(id, ENDPOINT, receiver.endpoint())
            .await?;
    }
    let client = callbacks::client()?;
    let (people, _) = people::begin(testbed, "traced-first", WARM_UP).await?;
    callbacks::scheduled(&client, people, RATE).await?;
    let (people, _) = people::begin(testbed, "traced", count).await?;
    callbacks::scheduled(&client, people, RATE).await?;
    let begun = Instant::now();
    loop {
        let parts = parts_of(&receiver.spans());
        if parts.len() >= WARM_UP + count {
            return Ok(parts.into_iter().skip(WARM_UP).collect());
        }
        anyhow::ensure!(
            begun.elapsed() < LONGEST,
            "only {} of {} traces are complete",
            parts.len(),
            WARM_UP + count
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the parts of each complete trace of a sign-in, in the order of the callbacks.
fn parts_of(spans: &[ReceivedSpan]) -> Vec<Parts> {
    let mut traces: HashMap<&str, Vec<&ReceivedSpan>> = HashMap::new();
    for span in spans {
        traces.entry(&span.trace_id).or_default().push(span);
    }
    let mut found: Vec<(u64, Parts)> = traces
        .values()
        .filter_map(|trace| parts_of_one(trace))
        .collect();
    found.sort_by_key(|(begun, _)| *begun);
    found.into_iter().map(|(_, parts)| parts).collect()
}

/// Returns when the callback began, and its parts, if the trace is that of a sign-in.
fn parts_of_one(trace: &[&ReceivedSpan]) -> Option<(u64, Parts)> {
    let find = |service: &str, is: &dyn Fn(&ReceivedSpan) -> bool| {
        let mut spans = trace.iter().filter(|span| span.service == service);
        spans.find(|span| is(span)).copied()
    };
    let callback = find("auth-svc", &|span| {
        span.kind == "server" && span.name.ends_with("/redirect")
    })?;
    let exchange = find("auth-svc", &|span| {
        span.kind == "client" && span.attribute("http.request.method") == "POST"
    })?;
    let transaction = find("auth-svc", &|span| span.name == "store.sign_in")?;
    let publication = find("auth-svc", &|span| span.kind == "producer")?;
    let message = find("sync-svc", &|span| span.kind == "consumer")?;
    let within = |inner: &ReceivedSpan, outer: &ReceivedSpan| {
        inner.time.0 >= outer.time.0 && inner.time.1 <= outer.time.1
    };
    let statements: f64 = trace
        .iter()
        .filter(|span| span.attribute("db.system.name") == "postgresql")
        .filter(|span| span.service == "auth-svc" && within(span, transaction))
        .map(|span| milliseconds(span.time.0, span.time.1))
        .sum();
    let parts = [
        milliseconds(callback.time.0, exchange.time.0),
        milliseconds(exchange.time.0, exchange.time.1),
        milliseconds(exchange.time.1, transaction.time.0),
        milliseconds(transaction.time.0, transaction.time.1),
        statements,
        milliseconds(transaction.time.1, callback.time.1),
        milliseconds(transaction.time.1, publication.time.0),
        milliseconds(publication.time.0, publication.time.1),
        milliseconds(publication.time.0, message.time.0),
        milliseconds(message.time.0, message.time.1),
    ];
    Some((callback.time.0, parts))
}

/// The time between two moments in nanoseconds since 1970; negative if the second was earlier.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
fn milliseconds(begun: u64, ended: u64) -> f64 {
    if ended >= begun {
        (ended - begun) as f64 / 1e6
    } else {
        -((begun - ended) as f64) / 1e6
    }
}
