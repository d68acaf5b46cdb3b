//! Graceful shutdown as a load balancer sees it: first not ready but still serving, then
//! stopped.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Browser, TestApp};

/// Long enough for the callers to see the readiness change, even on a busy machine.
const DELAY: &str = "8s";

/// Number of concurrent callers.
const CALLERS: usize = 4;

/// Returns `true` if the replica reports on its health port that it is ready.
async fn is_ready(operator: &str) -> bool {
    reqwest::get(format!("{operator}/readyz"))
        .await
        .is_ok_and(|response| response.status().is_success())
}

/// Sends requests to the first ready replica, as a load balancer does, and returns their
/// number.
async fn ask(
    replicas: &[(String, String)],
    mut browser: Browser,
    done: CancellationToken,
) -> usize {
    let mut answered = 0;
    while !done.is_cancelled() {
        let mut chosen = None;
        for (base, operator) in replicas {
            if chosen.is_none() && is_ready(operator).await {
                chosen = Some(base);
            }
        }
        // If no replica is ready, ask again.
        let Some(base) = chosen else { continue };
        browser = browser.at(base);
        // Panics if the connection is refused or closed.
        let status = browser.get("/auth/sign-in").await.status;
        assert_eq!(status, 200);
        answered += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_fails_no_request() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "0")]).await;
    let stop = CancellationToken::new();
    let (leaving, operator, ended) = app.replica_until(&[("SHUTDOWN_DELAY", DELAY)], &stop);
    let replicas = vec![
        (leaving.clone(), operator.clone()),
        (app.base.clone(), app.health.clone()),
    ];
    let done = CancellationToken::new();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (replicas, browser, done) = (replicas.clone(), app.browser(), done.clone());
        callers.spawn(async move { ask(&replicas, browser, done).await });
    }
    // The callers are running now.
    app.browser().at(&leaving).get("/").await;

    stop.cancel();
    while is_ready(&operator).await {
        tokio::task::yield_now().await;
    }
    // A caller that has not seen the change yet is served, also over a new connection.
    assert_eq!(app.browser().at(&leaving).get("/").await.status, 200);
    tokio::time::timeout(Duration::from_mins(1), ended)
        .await
        .expect("the replica did not stop")
        .unwrap();
    assert!(!is_ready(&operator).await);
    done.cancel();
    while let Some(answered) = callers.join_next().await {
        assert!(answered.unwrap() > 0);
    }
}

/// Sends a request over a connection and returns the response in lower case.
async fn exchange(connection: &mut TcpStream) -> String {
    connection
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut response = String::new();
    let mut buffer = [0; 4096];
    while !response.ends_with('}') {
        let read = connection.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed without a response");
        response.push_str(&String::from_utf8_lossy(&buffer[..read]).to_lowercase());
    }
    assert!(response.starts_with("http/1.1 200"), "{response}");
    response
}

fn closes(response: &str) -> bool {
    response.contains("\r\nconnection: close\r\n")
}

// R46
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_ends_keep_alive_connections_before_it_stops_listening() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "0")]).await;
    let stop = CancellationToken::new();
    let (leaving, _, ended) = app.replica_until(&[("SHUTDOWN_DELAY", DELAY)], &stop);
    let address = leaving.strip_prefix("http://").unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        assert!(!closes(&exchange(&mut kept).await));
    }

    stop.cancel();
    // The service may not have noticed yet.
    while !closes(&exchange(&mut kept).await) {}
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
    // A new connection is still accepted, for one request.
    let mut new = TcpStream::connect(address).await.unwrap();
    assert!(closes(&exchange(&mut new).await));
    tokio::time::timeout(Duration::from_mins(1), ended)
        .await
        .expect("the replica did not stop")
        .unwrap();
}
