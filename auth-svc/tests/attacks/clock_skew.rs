//! Expiry and clock skew: a flow lives ten minutes, and clocks may differ by exactly
//! sixty seconds.

use std::sync::Arc;
use std::time::Duration;

use latchkey_demo_provider::Decision;
use latchkey_domain::{Clock as _, ManualClock, SystemClock};

use crate::support::{APP, PROVIDERS, TestApp, assert_nothing_written, refusal};

/// Returns two stopped clocks. The provider's is this many seconds ahead.
fn clocks(ahead: i64) -> (Arc<ManualClock>, Arc<ManualClock>) {
    let now = SystemClock.now();
    (
        Arc::new(ManualClock::new(now)),
        Arc::new(ManualClock::new(now + time::Duration::seconds(ahead))),
    )
}

async fn outcome(ahead: i64) -> Vec<u16> {
    let (own, providers) = clocks(ahead);
    let app = TestApp::start_at(&[], own, providers).await;
    let mut outcomes = Vec::new();
    for (path, _) in PROVIDERS {
        let sign_in = async || {
            let path = format!("{path}?prompt=consent");
            app.run_flow(&mut app.browser().json(), &path, &Decision::allow("ada"))
                .await
        };
        let response = if ahead.abs() % 60 == 1 {
            assert_nothing_written(&app, sign_in).await
        } else {
            sign_in().await
        };
        if response.status != 302 {
            assert_eq!(refusal(&response), (400, "identity_not_proven".to_owned()));
        }
        outcomes.push(response.status);
    }
    outcomes
}

/// Core 3.1.3.7 step 10.
#[tokio::test]
async fn a_token_issued_in_the_future_is_accepted_up_to_sixty_seconds() {
    assert_eq!(outcome(60).await, [302, 302, 302]);
    assert_eq!(outcome(61).await, [400, 400, 400]);
}

/// Core 3.1.3.7 step 9. ID tokens of the demo provider are valid for one hour.
#[tokio::test]
async fn an_expired_token_is_accepted_up_to_sixty_seconds() {
    assert_eq!(outcome(-3600 - 59).await, [302, 302, 302]);
    assert_eq!(outcome(-3600 - 61).await, [400, 400, 400]);
}

/// RFC 9700 section 4.7: the binding of a flow to a browser expires with the flow.
#[tokio::test]
async fn an_expired_flow_is_refused() {
    let (own, providers) = clocks(0);
    let app = TestApp::start_at(&[], own.clone(), providers).await;
    for (wait, taken) in [(599, true), (600, false), (86_400, false)] {
        let mut browser = app.browser().json();
        let path = "/auth/google?prompt=consent";
        let callback = app
            .run_flow_to_callback(&mut browser, path, &Decision::allow("ada"))
            .await;
        own.advance(Duration::from_secs(wait));
        if taken {
            assert_eq!(browser.get(&callback).await.location(), APP);
        } else {
            let response =
                assert_nothing_written(&app, async || browser.get(&callback).await).await;
            assert_eq!(
                refusal(&response),
                (400, "flow_unknown".to_owned()),
                "{wait}"
            );
        }
    }
}
