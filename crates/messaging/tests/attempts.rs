//! A failed attempt to connect leaves nothing behind: no task, no thread and no socket. A broker may
//! be unavailable for hours, and each request of `/readyz` meanwhile makes one attempt.
//!
//! It is a separate binary, because it counts the threads of its process.

#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

use std::time::Duration;

use latchkey_messaging::broker::BrokerConfig;
use latchkey_testkit::{PATIENCE, TestBroker};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

fn broker(port: u16) -> BrokerConfig {
    BrokerConfig::parse(&format!("amqp://127.0.0.1:{port}/%2f"), "attempts").unwrap()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Threads of connections in this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin"))
        .count()
}

/// Waits until all have ended; fails after a limit.
async fn nothing_left(before: usize) {
    let gone = async {
        while tasks() > before || threads() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, gone).await;
    assert!(
        outcome.is_ok(),
        "{} tasks and {} threads are left",
        tasks().saturating_sub(before),
        threads()
    );
}

// R12: a broker that is away costs nothing, however long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attempt_to_connect_leaves_nothing_behind() {
    let before = tasks();

    // No server listens.
    for _ in 0..20 {
        broker(1).connect().await.unwrap_err();
    }
    nothing_left(before).await;

    // A server listens and never responds, like a broker that is stopped.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for _ in 0..5 {
        let config = broker(port);
        let hanging = tokio::spawn(async move { config.connect().await.map(drop) });
        let (mut stream, _) = silent.accept().await.unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.unwrap();
        assert_eq!(&header, b"AMQP\0\0\x09\x01");
        // As `/readyz` does after two seconds.
        hanging.abort();
        assert_eq!(stream.read(&mut header).await.unwrap(), 0, "still open");
    }
    nothing_left(before).await;

    // One server responds with another protocol, and one closes the connection.
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let config = broker(port);
        let refused = tokio::spawn(async move { config.connect().await.map(drop) });
        let (mut stream, _) = silent.accept().await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes())
            .await
            .unwrap();
        drop(stream);
        assert!(refused.await.unwrap().is_err());
    }
    nothing_left(before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_or_is_abandoned_leaves_nothing_behind() {
    let there = TestBroker::create().await;
    let before = tasks();
    let good = there.url();
    let (credentials, place) = good.rsplit_once('@').unwrap();
    let (user, _) = credentials.rsplit_once(':').unwrap();
    let wrong_password = format!("{user}:wrong@{place}");
    let (server, _) = good.rsplit_once('/').unwrap();
    let no_such_host = format!("{server}/nowhere");
    for _ in 0..3 {
        for refused in [&wrong_password, &no_such_host] {
            let config = BrokerConfig::parse(refused, "attempts").unwrap();
            config.connect().await.unwrap_err();
        }
        let config = BrokerConfig::parse(good, "attempts").unwrap();
        drop(config.connect().await.unwrap());
    }
    nothing_left(before).await;
}
