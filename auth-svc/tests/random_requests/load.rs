//! Sign-ins while many people open the start page. All requests have to succeed; their
//! times are printed, not asserted. On a busy machine requests time out. Run it by hand:
//! `cargo test -p auth-svc --test random_requests two_hundred -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use latchkey_demo_provider::Decision;
use tokio::task::JoinSet;

use crate::api::support::{Browser, TestApp};
use crate::service::Service;

/// Number of simultaneous requests to the start page.
const PAGE_REQUESTS: usize = 200;

/// Number of simultaneous callbacks.
const SIGN_INS: usize = 60;

/// Returns browsers that have finished at the provider, with the callback of each.
async fn before_callback(app: &TestApp, address: &str) -> Vec<(Browser, String)> {
    let mut waiting = Vec::new();
    for _ in 0..SIGN_INS {
        let mut browser = app.browser().at(address);
        let start = "/auth/google?prompt=consent";
        let callback = app
            .run_flow_to_callback(&mut browser, start, &Decision::allow("ada"))
            .await;
        waiting.push((browser, callback));
    }
    waiting
}

fn sign_in(browsers: Vec<(Browser, String)>, into: &mut JoinSet<(u16, Duration)>) {
    for (mut browser, callback) in browsers {
        into.spawn(async move {
            let begun = Instant::now();
            (browser.get(&callback).await.status, begun.elapsed())
        });
    }
}

/// Waits for all responses, checks their status, and prints how long they took.
async fn wait_for_all(what: &str, status: u16, mut all: JoinSet<(u16, Duration)>) {
    let mut took = Vec::new();
    while let Some(one) = all.join_next().await {
        let (came, after) = one.unwrap();
        assert_eq!(came, status, "{what}");
        took.push(after);
    }
    took.sort_unstable();
    println!(
        "{what}: {} answers, median {:?}, p99 {:?}, longest {:?}",
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
}

#[ignore = "a measurement for a machine that does nothing else"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_to_the_start_page_prevent_no_sign_in() {
    let app = TestApp::start().await;
    let service = Service::start(app.variables(&[
        ("DATABASE_MAX_CONNECTIONS", "16"),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
        ("RATE_LIMIT_PER_FLOW", "0"),
    ]))
    .await;
    let address = format!("http://{}", service.address);

    let mut alone = JoinSet::new();
    sign_in(before_callback(&app, &address).await, &mut alone);
    wait_for_all("sign-ins alone", 302, alone).await;

    let waiting = before_callback(&app, &address).await;
    // With new connections, because idle ones may be closed by now.
    let waiting: Vec<(Browser, String)> = waiting
        .into_iter()
        .map(|(with, callback)| {
            let mut browser = app.browser().at(&address);
            browser.cookies = with.cookies;
            (browser, callback)
        })
        .collect();
    let (mut pages, mut sign_ins) = (JoinSet::new(), JoinSet::new());
    let visitors: Vec<Browser> = (0..PAGE_REQUESTS)
        .map(|_| app.browser().at(&address))
        .collect();
    for mut browser in visitors {
        pages.spawn(async move {
            let begun = Instant::now();
            let page = browser.get("/").await;
            assert!(page.body.contains("Acme"), "{}", page.body);
            (page.status, begun.elapsed())
        });
    }
    sign_in(waiting, &mut sign_ins);
    wait_for_all("the start page", 200, pages).await;
    wait_for_all("sign-ins meanwhile", 302, sign_ins).await;
    service.stop().await;
}
