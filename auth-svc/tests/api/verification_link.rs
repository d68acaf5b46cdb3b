use auth_svc::random::Randomness;
use auth_svc::store::workspace::domain::{self, Purpose};
use latchkey_domain::WorkspaceId;

use crate::support::TestApp;

const DOMAIN: &str = "globex.example";

async fn link(app: &TestApp, workspace: WorkspaceId) -> String {
    let (pool, random) = (app.database.pool(), Randomness::default());
    domain::claim(pool, workspace, Purpose::Access, DOMAIN, &random)
        .await
        .unwrap();
    let email = "postmaster@globex.example";
    domain::email_token(pool, workspace, DOMAIN, email, &random)
        .await
        .unwrap()
        .unwrap()
        .0
}

async fn approved(app: &TestApp) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT w.name, d.approved_by
         FROM auth.approved_access_domain d JOIN auth.workspace w ON w.id = d.workspace_id
         WHERE d.domain = $1 ORDER BY w.name",
    )
    .bind(DOMAIN)
    .fetch_all(app.database.pool())
    .await
    .unwrap()
}

// R7, WP11
#[tokio::test]
async fn a_verification_link_works_once_and_only_when_the_button_is_pressed() {
    let app = TestApp::start().await;
    let other = app.workspace("other", &[]).await;
    let token = link(&app, app.workspace).await;
    link(&app, other).await;
    let mut browser = app.browser();
    // A mail scanner opens the link twice.
    for _ in 0..2 {
        let page = browser.get(&format!("/verify-domain?token={token}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains(DOMAIN) && page.body.contains("Acme"));
    }
    assert_eq!(approved(&app).await, []);

    let press = async |browser: &mut crate::support::Browser| {
        browser
            .post_form("/verify-domain", format!("token={token}"))
            .await
    };
    let mut foreign = app.browser().json();
    foreign
        .headers
        .push(("origin", "https://evil.example".to_owned()));
    assert_eq!(press(&mut foreign).await.code(), "cross_site");

    let (one, two) = {
        let (mut a, mut b) = (app.browser(), app.browser());
        tokio::join!(press(&mut a), press(&mut b))
    };
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [200, 404],
        "only one of two simultaneous requests succeeds"
    );
    // The link verifies the domain for its own workspace only.
    let bound = ("Acme".to_owned(), "EMAIL".to_owned());
    assert_eq!(approved(&app).await, [bound]);
    assert_eq!(press(&mut browser).await.status, 404);
    // With several workspaces the start has to name one.
    let path = format!("/auth/google?workspaceId={}", app.workspace);
    let mut linus = app.browser();
    app.run_flow(
        &mut linus,
        &path,
        &latchkey_demo_provider::Decision::allow("linus"),
    )
    .await;
    assert!(linus.me().await.is_some());
}

// R7, WP11
#[tokio::test]
async fn a_verification_link_expires_and_a_newer_one_replaces_it() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let old = link(&app, app.workspace).await;
    let new = link(&app, app.workspace).await;
    let press = async |browser: &mut crate::support::Browser, token: &str| {
        let form = format!("token={token}");
        browser.post_form("/verify-domain", form).await
    };
    let replaced = press(&mut browser, &old).await;
    assert_eq!(
        (replaced.status, replaced.code().as_str()),
        (404, "verification_link_dead")
    );
    sqlx::query("UPDATE auth.domain_claim SET email_token_expires_at = now()")
        .execute(app.database.pool())
        .await
        .unwrap();
    assert_eq!(press(&mut browser, &new).await.status, 404);
    for nothing in ["", "x", "%00"] {
        assert_eq!(press(&mut browser, nothing).await.status, 404);
    }
    assert_eq!(approved(&app).await, []);
}

// R7, WP11
#[tokio::test]
async fn the_database_contains_no_usable_verification_link() {
    let app = TestApp::start().await;
    let token = link(&app, app.workspace).await;
    let (row,): (String,) = sqlx::query_as("SELECT c::text FROM auth.domain_claim c")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    assert!(!row.contains(&token), "{row}");
    assert_eq!(token.len(), 43, "256 random bits");
}
