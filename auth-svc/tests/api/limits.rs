use std::time::Duration;

use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{APP, PUBLIC, TestApp};

#[tokio::test]
async fn an_address_with_too_many_requests_is_told_when_to_retry() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "5")]).await;
    let mut browser = app.browser();
    // The header counts only if a trusted proxy sets it.
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
    // Health checks share the address of the load balancer and are not limited.
    assert_eq!(browser.get("/healthz").await.status, 200);
    assert_eq!(app.operator("/readyz").await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
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
        // Some proxies add the port, and put IPv6 addresses in brackets.
        ("192.0.2.1:50123", 429),
        ("192.0.2.3:50123", 200),
        ("192.0.2.3:50124", 200),
        ("192.0.2.3", 429),
        ("[2001:db8::4]:443", 429),
    ] {
        browser.headers = vec![("x-forwarded-for", client.to_owned())];
        assert_eq!(browser.get("/").await.status, status, "{client}");
    }
}

#[tokio::test]
async fn the_attempts_of_one_flow_are_limited() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_FLOW", "3")]).await;
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
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
        let response = browser
            .clone()
            .get(&format!("{path}?{state}&code={guess}&iss={issuer}"))
            .await;
        assert_eq!(response.code(), code, "{guess}");
        assert_eq!(response.headers.contains_key("retry-after"), guess == "d");
    }
    assert_eq!(
        app.demo.count(Flavour::Google, Endpoint::Token),
        3,
        "no further request reaches the provider"
    );
    // Another flow of the same browser is not limited.
    let response = app
        .run_flow(
            &mut browser,
            "/auth/google?prompt=consent",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(response.location(), APP);
}

/// Sends the beginning of a request, without the end of its headers.
async fn begun(app: &TestApp) -> TcpStream {
    let address = app.base.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    client
}

async fn rest_of(client: &mut TcpStream) -> String {
    let mut response = Vec::new();
    // A closed connection ends the response too.
    let _ = client.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

/// A slow client is served, even after the five seconds that are the default of the HTTP
/// library. A client whose headers never end is dropped.
#[tokio::test]
async fn a_client_that_sends_its_headers_slowly_is_dropped() {
    let app = TestApp::start().await;
    let mut patient = begun(&app).await;
    let served = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(6)).await;
        patient.write_all(b"x\r\n\r\n").await.unwrap();
        rest_of(&mut patient).await
    });
    let mut endless = begun(&app).await;
    let dropped = tokio::time::timeout(Duration::from_mins(1), async {
        let mut first = [0; 12];
        loop {
            let pause = Duration::from_millis(200);
            match tokio::time::timeout(pause, endless.read(&mut first)).await {
                Ok(Ok(read)) => return String::from_utf8_lossy(&first[..read]).into_owned(),
                Ok(Err(_)) => return String::new(),
                Err(_) if endless.write_all(b"x").await.is_err() => return String::new(),
                Err(_) => {}
            }
        }
    });
    let dropped = dropped.await.expect("the connection is still open");
    assert!(
        ["", "HTTP/1.1 408"].contains(&dropped.as_str()),
        "{dropped}"
    );
    let served = served.await.unwrap();
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
}

/// Sends a chunked body and returns the status line. The body has an end only if `ends`.
async fn chunked(app: &TestApp, path: &str, kind: &str, body: &str, ends: bool) -> String {
    let address = app.base.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nOrigin: {PUBLIC}\r\nContent-Type: {kind}\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    for part in body.as_bytes().chunks(0x1000) {
        let size = format!("{:x}\r\n", part.len());
        let chunk = [size.as_bytes(), part, b"\r\n"].concat();
        // After a refusal the server may stop reading.
        if client.write_all(&chunk).await.is_err() {
            break;
        }
    }
    if ends {
        let _ = client.write_all(b"0\r\n\r\n").await;
    }
    let mut status = [0; 12];
    let response = tokio::time::timeout(Duration::from_mins(1), client.read_exact(&mut status));
    // A closed connection has no status.
    match response.await.unwrap() {
        Ok(_) => String::from_utf8_lossy(&status).into_owned(),
        Err(_) => String::new(),
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() {
    let app = TestApp::start().await;
    let json = |length: usize| format!("{}{{\"grantType\":\"cookie\"}}", " ".repeat(length - 22));
    let form = |length: usize| format!("seen={}", "a".repeat(length - 5));
    for (path, kind, body) in [
        (
            "/auth/token",
            "application/json",
            &json as &dyn Fn(usize) -> String,
        ),
        (
            "/auth/hand-over",
            "application/x-www-form-urlencoded",
            &form,
        ),
    ] {
        for (length, refused) in [(4_000, false), (16 * 1024 + 1, true)] {
            let status = chunked(&app, path, kind, &body(length), true).await;
            assert!(status.starts_with("HTTP/1.1 "), "{path} {length} {status}");
            let too_large = status == "HTTP/1.1 413";
            assert_eq!(too_large, refused, "{path} {length}: {status}");
        }
        // The server does not wait for the end of this body. Unread data may reset the
        // connection before the status is read.
        let status = chunked(&app, path, kind, &body(1 << 20), false).await;
        assert!(
            ["", "HTTP/1.1 413"].contains(&status.as_str()),
            "{path} {status}"
        );
    }
}

#[tokio::test]
async fn a_slow_provider_delays_no_other_request() {
    let app = TestApp::start().await;
    let mut slow = app.browser();
    let callback = app
        .run_flow_to_callback(&mut slow, "/auth/google", &Decision::allow("ada"))
        .await;
    app.demo.inject(
        Fault::on(Endpoint::Token)
            .of(Flavour::Google)
            .delayed_ms(6_000),
    );
    let waiting = tokio::spawn(async move { slow.get(&callback).await.status });
    // The pool has one connection to the database.
    for _ in 0..5 {
        assert_eq!(app.browser().get("/auth/me").await.status, 401);
        assert!(!waiting.is_finished());
    }
    assert_eq!(waiting.await.unwrap(), 302);
}
