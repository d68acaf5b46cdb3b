//! What other web sites can make a browser do (group 13): nothing that changes
//! anything. Methods and headers as browsers send them.

use reqwest::Method;

use crate::helpers::TestApp;
use crate::unharmed::nothing_written;

const FOREIGN: [(&str, &str); 5] = [
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("origin", "https://auth.test.example.evil.example"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
];

#[tokio::test]
async fn another_site_changes_nothing_by_any_described_route() {
    let app = TestApp::start().await;
    let browser = app.signed_in("ada").await;
    let document: serde_json::Value =
        serde_json::from_str(&browser.clone().get("/openapi.json").await.body).unwrap();
    let mut changing = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{provider}", "google").replace(['{', '}'], "");
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if item.get(method.as_str().to_lowercase()).is_none() {
                continue;
            }
            changing += 1;
            for foreign in FOREIGN {
                let mut browser = browser.clone();
                browser.headers = vec![(foreign.0, foreign.1.to_owned())];
                let answer =
                    nothing_written(&app, async || browser.send(method.clone(), &path).await).await;
                assert!(
                    (400..500).contains(&answer.status),
                    "{method} {path} {foreign:?}: {}",
                    answer.status
                );
            }
        }
    }
    assert!(changing >= 1);
    assert!(browser.clone().me().await.is_some());
}

/// `/auth/google` of who is signed in makes a one-time code for the configured app,
/// which dies within a minute, and nothing else: not looked at here.
#[tokio::test]
async fn a_link_changes_nothing() {
    let app = TestApp::start().await;
    let browser = app.signed_in("ada").await;
    for path in ["/", "/auth/me", "/auth/sign-out", "/auth/google-apis"] {
        let mut browser = browser.clone();
        nothing_written(&app, async || browser.get(path).await).await;
    }
    assert!(browser.clone().me().await.is_some());
}

#[tokio::test]
async fn no_foreign_origin_may_read_an_answer() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    browser.headers = vec![("origin", "https://evil.example".to_owned())];
    for path in ["/auth/me", "/", "/openapi.json"] {
        let answer = browser.get(path).await;
        for name in [
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ] {
            assert!(!answer.headers.contains_key(name), "{path} {name}");
        }
        assert_eq!(
            answer.headers["cross-origin-resource-policy"],
            "same-origin"
        );
    }
}
