use std::time::{Duration, Instant};

use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::helpers::{APP, TestApp};

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "5")]).await;
    let mut browser = app.browser();
    // Nobody vouches for what the client writes itself.
    for spoofed in 1..=5 {
        browser.headers = vec![("x-forwarded-for", format!("192.0.2.{spoofed}"))];
        assert_eq!(browser.get("/").await.status, 200);
    }
    let page = browser.get("/auth/google").await;
    assert_eq!(page.status, 429);
    let wait: u64 = page.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=13).contains(&wait), "{wait}");
    assert!(
        page.body.contains("Too many requests")
            && page.headers.contains_key("content-security-policy")
    );
    assert_eq!(
        browser.clone().json().get("/auth/me").await.code(),
        "too_many_requests"
    );
    // Probes come from where the load balancer's traffic comes from.
    assert_eq!(browser.get("/healthz").await.status, 200);
    assert_eq!(browser.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_limit_of_its_own() {
    let app = TestApp::start_with(&[
        ("RATE_LIMIT_PER_ADDRESS", "2"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ])
    .await;
    let mut browser = app.browser();
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("198.51.100.9, 192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::2", 200),
        ("2001:db8::3", 429),
    ] {
        browser.headers = vec![("x-forwarded-for", client.to_owned())];
        assert_eq!(browser.get("/").await.status, status, "{client}");
    }
}

#[tokio::test]
async fn a_flow_has_few_tries() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_FLOW", "3")]).await;
    let mut browser = app.browser().json();
    let callback = app
        .to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let (path, query) = callback.split_once('?').unwrap();
    let state = query
        .split('&')
        .find(|part| part.starts_with("state="))
        .unwrap();
    for (guess, code) in [
        ("a", "code_refused"),
        ("b", "code_refused"),
        ("c", "code_refused"),
        ("d", "too_many_requests"),
    ] {
        let issuer = app.demo.issuer(Flavour::Google);
        let answer = browser
            .clone()
            .get(&format!("{path}?{state}&code={guess}&iss={issuer}"))
            .await;
        assert_eq!(answer.code(), code, "{guess}");
        assert_eq!(answer.headers.contains_key("retry-after"), guess == "d");
    }
    assert_eq!(
        app.demo.count(Flavour::Google, Endpoint::Token),
        3,
        "the provider hears no more of it"
    );
    // Another flow of the same browser is not harmed.
    let answer = app
        .round(
            &mut browser,
            "/auth/google?prompt=consent",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(answer.location(), APP);
}

#[tokio::test]
async fn a_client_that_sends_its_headers_slowly_is_dropped() {
    let app = TestApp::start().await;
    let address = app.base.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    let started = Instant::now();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_mins(1), slow.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "still open");
    assert!(started.elapsed() > Duration::from_secs(5));
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let app = TestApp::start().await;
    let address = app.base.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"POST /auth/sign-out HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    let mut sent = 0;
    // Answered, or cut off, long before a megabyte is taken.
    while sent < 4 * 1024 * 1024 {
        let write = client.write_all(chunk.as_bytes());
        if !matches!(
            tokio::time::timeout(Duration::from_secs(2), write).await,
            Ok(Ok(()))
        ) {
            break;
        }
        sent += 0x1000;
    }
    let mut first = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), client.read(&mut first)).await;
    assert!(sent < 4 * 1024 * 1024 || read.is_ok(), "{sent} bytes taken");
}

#[tokio::test]
async fn a_provider_that_is_slow_holds_nobody_else_up() {
    let app = TestApp::start().await;
    let mut slow = app.browser();
    let callback = app
        .to_callback(&mut slow, "/auth/google", &Decision::allow("ada"))
        .await;
    app.demo.inject(
        Fault::on(Endpoint::Token)
            .of(Flavour::Google)
            .delayed_ms(3_000),
    );
    let waiting = tokio::spawn(async move { slow.get(&callback).await.status });
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(app.browser().get("/").await.status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(waiting.await.unwrap(), 302);
}
