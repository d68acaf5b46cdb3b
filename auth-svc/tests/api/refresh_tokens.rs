use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::{Browser, Response, TestApp};

const APP_ORIGIN: &str = "https://app.test.example";

async fn start() -> TestApp {
    TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await
}

/// Signs a person in and returns the refresh token of their front end too.
async fn signed_in(app: &TestApp) -> (Browser, String) {
    let browser = app.signed_in("ada").await;
    let pair = format!("v={}", browser.cookies["tokenPair"]);
    let (_, pair) = form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    let pair: Value = serde_json::from_str(&pair).unwrap();
    let token = pair["refreshToken"]["token"].as_str().unwrap().to_owned();
    (browser, token)
}

async fn refresh(app: &TestApp, token: &str) -> Response {
    let body = json!({ "grantType": "refresh_token", "refreshToken": token });
    app.browser()
        .post_json(APP_ORIGIN, "/auth/token", &body)
        .await
}

async fn rotate(app: &TestApp, token: &str) -> String {
    let response = refresh(app, token).await;
    assert_eq!(response.status, 200, "{}", response.body);
    let next = &response.json()["refreshToken"]["token"];
    next.as_str().unwrap().to_owned()
}

async fn run(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(app.database.pool()).await.unwrap();
}

/// Moves the use of the tokens into the past, so that the reuse grace has ended.
async fn end_reuse_grace(app: &TestApp) {
    run(
        app,
        "UPDATE auth.refresh_token SET spent_at = spent_at - interval '11 s'",
    )
    .await;
}

// R14
#[tokio::test]
async fn every_use_gives_a_new_refresh_token() {
    let app = start().await;
    let (_, first) = signed_in(&app).await;
    let second = rotate(&app, &first).await;
    let third = rotate(&app, &second).await;
    assert!(first != second && second != third && first != third);
}

// R14
#[tokio::test]
async fn reuse_of_a_refresh_token_ends_its_whole_family() {
    let app = start().await;
    let (mut browser, first) = signed_in(&app).await;
    let second = rotate(&app, &first).await;
    let third = rotate(&app, &second).await;
    end_reuse_grace(&app).await;
    let reused = refresh(&app, &first).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (401, "invalid_grant")
    );
    for token in [&second, &third] {
        assert_eq!(refresh(&app, token).await.status, 401);
    }
    let (reason,): (String,) = sqlx::query_as("SELECT end_reason FROM auth.refresh_family")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    assert_eq!(reason, "REUSED");
    // The session itself goes on.
    assert!(browser.me().await.is_some());
}

// R14
#[tokio::test]
async fn tabs_that_refresh_at_once_get_the_same_next_token() {
    let app = start().await;
    let (_, first) = signed_in(&app).await;
    let responses = tokio::join!(
        rotate(&app, &first),
        rotate(&app, &first),
        rotate(&app, &first),
        rotate(&app, &first),
    );
    assert_eq!(responses.0, responses.1);
    assert_eq!(responses.1, responses.2);
    assert_eq!(responses.2, responses.3);
    let (good,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM auth.refresh_token WHERE spent_at IS NULL")
            .fetch_one(app.database.pool())
            .await
            .unwrap();
    assert_eq!(good, 1, "the family must have one valid token");
    rotate(&app, &responses.0).await;
}

// R14
#[tokio::test]
async fn the_reuse_grace_ends_when_the_next_token_is_used() {
    let app = start().await;
    let (_, first) = signed_in(&app).await;
    let second = rotate(&app, &first).await;
    let third = rotate(&app, &second).await;
    // Within the grace, but the next token was used too: somebody has both tokens.
    assert_eq!(refresh(&app, &first).await.status, 401);
    assert_eq!(refresh(&app, &third).await.status, 401);
}

// R14
#[tokio::test]
async fn a_refresh_token_ends_with_its_lifetime_its_session_and_the_membership() {
    let app = start().await;
    for end in [
        "UPDATE auth.refresh_token SET expires_at = now()",
        "UPDATE auth.session SET revoked_at = now()",
        "UPDATE auth.session SET expires_at = now()",
        "DELETE FROM auth.workspace_member",
    ] {
        let (_, token) = signed_in(&app).await;
        run(&app, end).await;
        let response = refresh(&app, &token).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (401, "invalid_grant"),
            "{end}"
        );
    }
}

// R14
#[tokio::test]
async fn the_database_contains_no_usable_refresh_token() {
    let app = start().await;
    let (_, first) = signed_in(&app).await;
    let second = rotate(&app, &first).await;
    let (hashed, clear): (i64, i64) = sqlx::query_as(
        "SELECT count(*),
                count(*) FILTER (WHERE $1 IN (token_hash, next_hash, next_salt))
         FROM auth.refresh_token",
    )
    .bind(second.as_bytes())
    .fetch_one(app.database.pool())
    .await
    .unwrap();
    assert_eq!((hashed, clear), (2, 0));
}

// R14
#[tokio::test]
async fn a_malformed_refresh_token_is_refused() {
    let app = start().await;
    for token in ["", "x", &"a".repeat(43), &"ä".repeat(43), &"a".repeat(9000)] {
        assert_eq!(refresh(&app, token).await.status, 401, "{token}");
    }
}
