//! The pages, without scripts and styles.

use latchkey_demo_provider::Decision;
use latchkey_proto::events::{CalendarVisibility, MessageVisibility};

use crate::support::{PUBLIC, TestApp};

/// Returns the path of a linked asset.
fn asset(body: &str, extension: &str) -> String {
    let end = body.find(&format!("{extension}\"")).unwrap() + extension.len();
    let start = body[..end].rfind('"').unwrap() + 1;
    body[start..end].to_owned()
}

// R10
#[tokio::test]
async fn assets_are_named_after_their_content_and_cached_permanently() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.get("/auth/sign-in").await;
    for (extension, kind) in [(".css", "text/css"), (".svg", "image/svg+xml")] {
        let path = asset(&page.body, extension);
        assert!(path.starts_with("/auth/assets/latchkey."), "{path}");
        let response = browser.get(&path).await;
        let header = |name: &str| response.headers[name].to_str().unwrap().to_owned();
        assert_eq!(response.status, 200);
        assert!(header("content-type").starts_with(kind));
        assert_eq!(
            header("cache-control"),
            "public, max-age=31536000, immutable"
        );
    }
    let other = browser.get("/auth/assets/latchkey.0123456789ab.css").await;
    assert_eq!(other.status, 404);
}

// R7
#[tokio::test]
async fn the_sign_in_page_names_the_workspace_and_the_invitation() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.get("/auth/sign-in").await;
    assert!(page.body.contains("Sign in to Acme"), "{}", page.body);
    sqlx::query(
        "INSERT INTO auth.personal_invite (id, workspace_id, email, token_hash, expires_at)
         VALUES (gen_random_uuid(), $1, 'guest@elsewhere.example',
                 sha256('let-me-in'), now() + interval '1 day')",
    )
    .bind(app.workspace.as_uuid())
    .execute(app.database.pool())
    .await
    .unwrap();
    let path = "/auth/sign-in?workspacePersonalInviteToken=let-me-in";
    let page = browser.get(path).await;
    assert!(page.body.contains("Join Acme"), "{}", page.body);
    assert!(page.body.contains("guest@elsewhere.example"));
    assert!(page.body.contains("workspacePersonalInviteToken=let-me-in"));
    sqlx::query("UPDATE auth.personal_invite SET expires_at = now()")
        .execute(app.database.pool())
        .await
        .unwrap();
    let page = browser.get(path).await;
    assert!(page.body.contains("has expired"), "{}", page.body);
    assert!(!page.body.contains("guest@elsewhere.example"));
}

#[tokio::test]
async fn parameters_of_a_link_are_escaped_on_the_pages() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    for path in [
        "/auth/sign-in?workspaceInviteHash=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/auth/review/google?locale=%22%3E%3Cscript%3E&loginHint=a@b.example",
        "/auth/review/google?workspaceInviteHash=%22%3E%3Cscript%3Ealert(1)",
        "/auth/sign-in?workspaceSubdomain=x&locale=%22%3E%3Cscript%3E",
    ] {
        let page = browser.get(path).await;
        assert!(!page.body.contains("<script"), "{path}: {}", page.body);
    }
}

// R16
#[tokio::test]
async fn choices_of_the_review_page_reach_the_start_of_the_flow() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.get("/auth/review/google").await;
    assert!(page.body.contains("Read your mail"), "{}", page.body);
    let form = page
        .form("/auth/review/google/continue")
        .choose("messageVisibility", "SUBJECT")
        .choose("calendarVisibility", "METADATA");
    let provider = browser.submit(&form).await.refresh_url();
    let callback = app.decide(&provider, &Decision::allow("ada")).await;
    browser.get(&callback).await;
    let connection = app.events().await.pop().unwrap().connection.unwrap();
    assert_eq!(connection.message_visibility(), MessageVisibility::Subject);
    assert_eq!(
        connection.calendar_visibility(),
        CalendarVisibility::Metadata
    );
    let mut browser = app.browser();
    let nothing = browser.get("/auth/review/unknown").await;
    assert_eq!(nothing.status, 404);
    // Connecting needs a session, and returns to the list of connections.
    let away = browser.get("/auth/review/google?purpose=connect").await;
    assert_eq!(away.status, 303);
    let mut ada = app.signed_in("ada").await;
    let page = ada.get("/auth/review/google?purpose=connect").await;
    let back = format!("value=\"{PUBLIC}/auth/account/connections\"");
    assert!(page.body.contains(&back), "{}", page.body);
    let refused = ada
        .get("/auth/review/google?returnTo=https://elsewhere.example/")
        .await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn account_pages_require_a_sign_in_that_returns_to_them() {
    let app = TestApp::start().await;
    for page in ["", "/connections", "/sessions"] {
        let path = format!("/auth/account{page}");
        let response = app.browser().get(&path).await;
        assert_eq!(response.status, 303);
        let back = format!("{PUBLIC}{path}");
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let wanted = format!("/auth/sign-in?returnTo={back}");
        assert_eq!(response.full_location(), wanted);
        let mut browser = app.browser();
        let start = browser.get(&wanted.replace("sign-in", "google")).await;
        assert_eq!(start.status, 302, "{}", start.body);
    }
}

#[tokio::test]
async fn without_the_other_services_the_connections_page_says_so() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    let page = ada.get("/auth/account/connections").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("SYNC_GRPC_URL"), "{}", page.body);
    ada.headers = vec![("origin", PUBLIC.to_owned())];
    let id = "0199a000-0000-7000-8000-000000000000";
    let response = ada
        .post(&format!("/auth/account/connections/{id}/disconnect"))
        .await;
    assert_eq!(response.status, 501);
}

// R14
#[tokio::test]
async fn a_person_can_end_only_their_own_sessions() {
    let app = TestApp::start().await;
    let mut here = app.signed_in("ada").await;
    let mut there = app.signed_in("ada").await;
    let mut grace = app.signed_in("grace").await;
    let id = |me: Option<serde_json::Value>| me.unwrap()["sessionId"].as_str().unwrap().to_owned();
    let (ada_there, of_grace) = (id(there.me().await), id(grace.me().await));
    let page = here.get("/auth/account/sessions").await;
    assert!(page.body.contains(&ada_there) && !page.body.contains(&of_grace));

    let end = |id: &str| format!("/auth/account/sessions/{id}/end");
    here.headers = vec![("origin", "https://elsewhere.example".to_owned())];
    assert_eq!(here.post(&end(&ada_there)).await.status, 403);
    assert!(there.me().await.is_some(), "another site ended a session");
    here.headers = vec![("origin", PUBLIC.to_owned())];
    for id in [&ada_there, &of_grace] {
        assert_eq!(here.post(&end(id)).await.status, 303);
    }
    assert!(there.me().await.is_none());
    assert!(grace.me().await.is_some());
}

#[tokio::test]
async fn an_error_of_the_framework_is_a_page_too() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let response = browser
        .get(&format!("/auth/google?returnTo=/{}", "a".repeat(11_000)))
        .await;
    assert_eq!(response.status, 414);
    assert!(response.body.contains("<h1>The request is too large</h1>"));
}
