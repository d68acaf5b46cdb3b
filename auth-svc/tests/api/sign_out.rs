use crate::support::{APP, PUBLIC, TestApp};
// RP13
#[tokio::test]
async fn only_this_deployments_pages_sign_a_person_out() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    for foreign in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        browser.headers = vec![(foreign.0, foreign.1.to_owned())];
        assert_eq!(
            browser.post("/auth/sign-out").await.status,
            403,
            "{foreign:?}"
        );
    }
    browser.headers.clear();
    assert!(browser.me().await.is_some());
    assert_eq!(
        browser.get("/auth/sign-out").await.status,
        405,
        "a link does not sign out"
    );

    let kept = browser.clone();
    browser.headers = vec![
        ("origin", PUBLIC.to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let response = browser.post("/auth/sign-out").await;
    assert_eq!((response.status, response.location().as_str()), (303, "/"));
    assert_eq!(browser.session(), None);
    assert_eq!(
        kept.clone().me().await,
        None,
        "the session itself has ended"
    );
}

#[tokio::test]
async fn the_home_page_offers_to_sign_in_or_shows_who_is_signed_in() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.get("/").await;
    for provider in ["google", "microsoft", "demo"] {
        page.form(&format!("/auth/sign-in/{provider}"));
    }
    let page = app.signed_in("ada").await.get("/").await;
    assert!(
        page.body.contains("ada@acme.example") && page.body.contains(APP),
        "{}",
        page.body
    );
    assert!(page.body.contains("action=\"/auth/sign-out\""));
}

#[tokio::test]
async fn a_session_ends_with_its_lifetime_and_with_the_membership() {
    let app = TestApp::start().await;
    for end in [
        "UPDATE auth.session SET expires_at = now()",
        "DELETE FROM auth.workspace_member",
    ] {
        let mut browser = app.signed_in("ada").await;
        assert!(browser.me().await.is_some());
        sqlx::query(end).execute(app.database.pool()).await.unwrap();
        assert_eq!(browser.me().await, None, "{end}");
    }
}
