//! Repeated and oversized parameters (RFC 6749 section 3.1).

use latchkey_demo_provider::{Decision, Endpoint, Flavour};

use crate::support::{PROVIDERS, TestApp, assert_nothing_written, refusal};

#[tokio::test]
async fn a_parameter_that_comes_twice_is_refused() {
    let app = TestApp::start().await;
    for (path, flavour) in PROVIDERS {
        let mut browser = app.browser().json();
        let callback = app
            .run_flow_to_callback(&mut browser, path, &Decision::allow("ada"))
            .await;
        for twice in [
            "&code=other",
            "&c%6fde=other",
            "&code=",
            "&state=other",
            "&iss=https://evil.example&iss=x",
            "&error=a&error=b",
        ] {
            let address = format!("{callback}{twice}");
            let response =
                assert_nothing_written(&app, async || browser.clone().get(&address).await).await;
            assert_eq!(
                refusal(&response),
                (400, "duplicate_parameter".to_owned()),
                "{twice}"
            );
        }
        assert_eq!(app.demo.count(flavour, Endpoint::Token), 0);
    }
    let twice = "/auth/google?returnTo=/a&returnTo=//evil.example";
    let response =
        assert_nothing_written(&app, async || app.browser().json().get(twice).await).await;
    assert_eq!(refusal(&response), (400, "duplicate_parameter".to_owned()));
}

#[tokio::test]
async fn an_oversized_parameter_is_refused() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let long = "a".repeat(4097);
    for address in [
        format!("{callback}&x={long}"),
        format!("/auth/google/redirect?state={long}&code=x"),
        format!("/auth/google?loginHint={long}"),
    ] {
        let response =
            assert_nothing_written(&app, async || browser.clone().get(&address).await).await;
        assert_eq!(refusal(&response), (400, "query_too_long".to_owned()));
    }
    // A start whose parameters do not fit into the flow cookie is refused too.
    for name in ["workspaceInviteHash", "returnTo", "locale", "hostedDomain"] {
        let address = format!("/auth/google?{name}=/{}", "a".repeat(1500));
        let response =
            assert_nothing_written(&app, async || browser.clone().get(&address).await).await;
        assert_eq!(refusal(&response).0, 400, "{name}");
    }
    let huge = format!("{callback}&x={}", "a".repeat(11_000));
    assert_eq!(browser.clone().get(&huge).await.status, 414);
    assert_eq!(app.demo.count(Flavour::Google, Endpoint::Token), 0);
}
