//! The sign-in page, which passes the parameters of a link or a front end on to the
//! provider and to the front end, under every name that they have.

use latchkey_demo_provider::Decision;
use serde_json::Value;

use crate::support::front_end::{CHALLENGE, CRM, redeems, start_with_front_end};
use crate::support::{APP, TestApp};

/// The paths that accept the parameters of a start.
const ADDRESSES: [&str; 5] = [
    "/",
    "/auth/sign-in",
    "/auth/open",
    "/auth/review/{provider}",
    "/auth/{provider}",
];

// R8 R10
#[tokio::test]
async fn a_front_end_on_another_site_gets_its_code_through_the_sign_in_page() {
    for asked in [
        format!("returnTo={CRM}/deals&codeChallenge={CHALLENGE}"),
        // The names of the connect flow and of RFC 7636.
        format!("redirectLocation={CRM}/deals&code_challenge={CHALLENGE}"),
    ] {
        let app = start_with_front_end().await;
        let path = format!("/auth/sign-in?{asked}&hd=acme.example&login_hint=ada@acme.example");
        let mut browser = app.browser();
        browser.headers = vec![
            ("sec-fetch-site", "cross-site".to_owned()),
            ("referer", format!("{CRM}/")),
        ];
        let page = browser.get(&path).await;
        assert!(page.body.contains("crm.example"), "{}", page.body);
        let mut visitor = app.browser();
        let form = page.form("/auth/sign-in/google");
        let provider = visitor.submit(&form).await.refresh_url();
        for parameter in ["hd=acme.example", "login_hint=ada%40acme.example"] {
            assert!(provider.contains(parameter), "{provider}");
        }
        let callback = app.decide(&provider, &Decision::allow("ada")).await;
        let response = visitor.get(&callback).await;
        assert_eq!(response.location(), format!("{CRM}/deals"));
        assert!(redeems(&app, &response.handover_code().unwrap()).await);

        // A person who is signed in already is redirected at once.
        browser.cookies = visitor.cookies;
        let response = browser.get(&path).await;
        assert_eq!(response.location(), format!("{CRM}/deals"));
        assert!(redeems(&app, &response.handover_code().unwrap()).await);
    }
}

// R17
#[tokio::test]
async fn the_sign_in_page_does_not_redirect_with_a_foreign_challenge_or_as_another_person() {
    let app = start_with_front_end().await;
    let mut browser = app.signed_in("ada").await;
    let next_url = format!("/auth/sign-in?returnTo={CRM}/&codeChallenge={CHALLENGE}");
    for (referer, path) in [
        ("https://evil.example/", next_url.clone()),
        ("https://crm.example/", format!("{next_url}&prompt=login")),
        (
            "https://crm.example/",
            format!("{next_url}&loginHint=grace@acme.example"),
        ),
    ] {
        browser.headers = vec![
            ("sec-fetch-site", "cross-site".to_owned()),
            ("referer", referer.to_owned()),
        ];
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        // The page says where its button leads.
        assert!(page.body.contains("crm.example"), "{}", page.body);
        page.form("/auth/sign-in/google");
    }
    // Without a return location the page is the overview.
    let page = browser.get("/auth/sign-in").await;
    assert!(page.body.contains("ada@acme.example"), "{}", page.body);
    browser.headers.clear();
    assert_eq!(
        browser.get("/auth/sign-in?returnTo=/").await.location(),
        APP
    );
}

#[tokio::test]
async fn start_and_pages_are_described_with_the_same_parameters() {
    let app = TestApp::start().await;
    let document = app.browser().get("/openapi.json").await.json();
    let names = |path: &str| -> Vec<String> {
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        let in_query = |parameter: &&Value| parameter["in"] == "query";
        parameters
            .unwrap()
            .iter()
            .filter(in_query)
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for path in ADDRESSES {
        assert_eq!(names(path), names("/auth/{provider}-apis"), "{path}");
        for name in ["codeChallenge", "redirectLocation", "hostedDomain", "hd"] {
            assert!(
                names(path).iter().any(|known| known == name),
                "{path} {name}"
            );
        }
    }
}

// R4
#[tokio::test]
async fn trying_again_after_a_refused_start_keeps_its_parameters() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let refused = browser
        .get("/auth/google?prompt=consent&loginHint=nobody&returnTo=/deals")
        .await;
    assert_eq!(refused.status, 400);
    let again = refused.body.split("href=\"").find_map(|part| {
        let link = part.split('"').next()?.replace("&#38;", "&");
        link.starts_with("/auth/google?").then_some(link)
    });
    let again = again.unwrap_or_else(|| "/auth/sign-in?prompt=consent&returnTo=/deals".to_owned());
    assert!(!again.contains("prompt=consent&prompt"), "{again}");
    let page = browser.get(&again).await;
    assert_ne!(page.status, 400, "{}", page.body);
}
