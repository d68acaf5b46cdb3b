use std::time::Duration;

use auth_svc::random::Randomness;
use auth_svc::store::{cleanup, workspace};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn list(browser: &mut Browser) -> Vec<Value> {
    let response = browser.get("/auth/sessions").await;
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()["sessions"].as_array().unwrap().clone()
}

async fn end(browser: &mut Browser, id: &str) -> Response {
    browser
        .send(Method::DELETE, &format!("/auth/sessions/{id}"))
        .await
}

async fn bearer(app: &TestApp, browser: &mut Browser) -> Browser {
    let response = browser
        .post_json(PUBLIC, "/auth/token", &json!({ "grantType": "cookie" }))
        .await;
    let token = response.json()["accessToken"]["token"].clone();
    let mut bearer = app.browser();
    bearer.headers = vec![(
        "authorization",
        format!("Bearer {}", token.as_str().unwrap()),
    )];
    bearer
}

async fn run(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(app.database.pool()).await.unwrap();
}

// R14
#[tokio::test]
async fn a_person_sees_their_own_sessions_and_which_one_is_current() {
    let app = TestApp::start().await;
    let mut firefox = app.browser();
    firefox.headers = vec![("user-agent", FIREFOX.to_owned())];
    app.run_flow(
        &mut firefox,
        "/auth/google?prompt=consent",
        &latchkey_demo_provider::Decision::allow("ada"),
    )
    .await;
    app.signed_in("ada").await;
    app.signed_in("grace").await;
    let sessions = list(&mut firefox).await;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let here: Vec<&Value> = sessions.iter().filter(|s| s["current"] == true).collect();
    assert_eq!(here.len(), 1);
    assert_eq!(here[0]["userAgent"], "Firefox on Linux");
    assert_eq!(here[0]["id"], firefox.me().await.unwrap()["sessionId"]);
    for name in ["createdAt", "lastSeenAt", "expiresAt", "workspaceName"] {
        assert!(here[0][name].is_string(), "{name}");
    }
    assert_eq!(app.browser().get("/auth/sessions").await.status, 401);
}

// R14
#[tokio::test]
async fn a_session_ended_from_another_browser_ends_at_once() {
    let app = TestApp::start().await;
    let mut here = app.signed_in("ada").await;
    let mut there = app.signed_in("ada").await;
    let mut token = bearer(&app, &mut there).await;
    let id = there.me().await.unwrap()["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(end(&mut here, &id).await.status, 204);
    assert_eq!(there.me().await, None);
    // This service refuses the access token too; other services accept it until it expires.
    assert_eq!(token.me().await, None);
    assert_eq!(end(&mut here, &id).await.code(), "no_such_session");
    assert_eq!(list(&mut here).await.len(), 1);
}

// R14
#[tokio::test]
async fn nobody_ends_anothers_session() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    let mut grace = app.signed_in("grace").await;
    let id = ada.me().await.unwrap()["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    for id in [id.as_str(), "00000000-0000-0000-0000-000000000000", "1"] {
        assert_eq!(end(&mut grace, id).await.status, 404);
    }
    assert_eq!(end(&mut app.browser(), &id).await.status, 401);
    grace.headers = vec![("origin", "https://evil.example".to_owned())];
    assert_eq!(end(&mut grace, &id).await.status, 403);
    assert!(ada.me().await.is_some());
}

// R14
#[tokio::test]
async fn signing_out_everywhere_ends_every_session_of_the_person_and_no_others() {
    let app = TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let mut here = app.signed_in("ada").await;
    let mut there = app.signed_in("ada").await;
    let mut grace = app.signed_in("grace").await;
    let pair = format!("v={}", there.cookies["tokenPair"]);
    let (_, pair) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    let pair: Value = serde_json::from_str(&pair).unwrap();

    here.headers = vec![("origin", "https://evil.example".to_owned())];
    assert_eq!(here.post("/auth/sign-out-everywhere").await.status, 403);
    here.headers = vec![("origin", PUBLIC.to_owned())];
    assert_eq!(here.post("/auth/sign-out-everywhere").await.status, 303);
    assert_eq!(here.session(), None);
    assert_eq!(there.me().await, None);
    let refresh =
        json!({ "grantType": "refresh_token", "refreshToken": pair["refreshToken"]["token"] });
    assert_eq!(
        there
            .post_json(PUBLIC, "/auth/token", &refresh)
            .await
            .status,
        401
    );
    let cookie = json!({ "grantType": "cookie" });
    assert_eq!(
        there.post_json(PUBLIC, "/auth/token", &cookie).await.status,
        401
    );
    assert!(grace.me().await.is_some());
}

// R14
#[tokio::test]
async fn a_front_end_signs_out_with_its_access_token() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let mut token = bearer(&app, &mut browser).await.json();
    assert_eq!(list(&mut token).await.len(), 1);
    assert_eq!(token.post("/auth/sign-out").await.status, 204);
    assert_eq!(browser.me().await, None);
    // An invalid bearer token is refused even if a valid cookie is sent.
    let mut other = app.signed_in("ada").await;
    other.headers = vec![("authorization", "Bearer x.y.z".to_owned())];
    assert_eq!(other.me().await, None);
}

// R14, RP12
#[tokio::test]
async fn every_sign_in_begins_a_new_session_and_ends_the_one_before() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let before = browser.clone();
    let id = browser.me().await.unwrap()["sessionId"].clone();
    app.run_flow(
        &mut browser,
        "/auth/google?prompt=consent",
        &latchkey_demo_provider::Decision::allow("ada"),
    )
    .await;
    assert_ne!(browser.session(), before.session());
    assert_ne!(browser.me().await.unwrap()["sessionId"], id);
    assert_eq!(before.clone().me().await, None);
    // A session secret chosen by an attacker is never used.
    let mut fixed = app.browser();
    let planted = "A".repeat(43);
    fixed
        .cookies
        .insert("__Host-latchkey-session".to_owned(), planted.clone());
    app.run_flow(
        &mut fixed,
        "/auth/google?prompt=consent",
        &latchkey_demo_provider::Decision::allow("ada"),
    )
    .await;
    assert_ne!(fixed.session(), Some(planted.as_str()));
}

// R14
#[tokio::test]
async fn an_unused_session_ends_and_use_extends_it() {
    let app = TestApp::start_with(&[("SESSION_IDLE_EXPIRES_IN", "1h")]).await;
    let mut browser = app.signed_in("ada").await;
    let idle = "UPDATE auth.session SET last_seen_at = last_seen_at - interval '59 min'";
    run(&app, idle).await;
    assert!(browser.me().await.is_some());
    run(&app, idle).await;
    assert!(
        browser.me().await.is_some(),
        "the previous use was recorded"
    );
    run(&app, idle).await;
    run(&app, idle).await;
    assert_eq!(browser.me().await, None);
}

// R14
#[tokio::test]
async fn expired_rows_are_deleted_and_others_are_kept() {
    let app = TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let mut kept = app.signed_in("ada").await;
    let email = "grace@acme.example".parse().unwrap();
    let life = Duration::from_hours(1);
    workspace::invite::invite(
        app.database.pool(),
        app.workspace,
        &email,
        life,
        &Randomness::default(),
    )
    .await
    .unwrap();
    cleanup::sweep(app.database.pool()).await.unwrap();
    assert!(kept.me().await.is_some());
    for (over, left) in [
        (
            "UPDATE auth.handover_code SET expires_at = now() - interval '2 h'",
            "SELECT count(*) FROM auth.handover_code",
        ),
        (
            "UPDATE auth.refresh_token SET expires_at = now() - interval '2 d'",
            "SELECT count(*) FROM auth.refresh_token",
        ),
        (
            "UPDATE auth.refresh_family SET created_at = now() - interval '2 d'",
            "SELECT count(*) FROM auth.refresh_family",
        ),
        (
            "UPDATE auth.personal_invite SET used_at = now() - interval '31 d'",
            "SELECT count(*) FROM auth.personal_invite",
        ),
        (
            "UPDATE auth.session SET revoked_at = now() - interval '8 d'",
            "SELECT count(*) FROM auth.session",
        ),
    ] {
        let count = async || {
            let (rows,): (i64,) = sqlx::query_as(left)
                .fetch_one(app.database.pool())
                .await
                .unwrap();
            rows
        };
        assert_eq!(count().await, 1, "{left}");
        run(&app, over).await;
        cleanup::sweep(app.database.pool()).await.unwrap();
        assert_eq!(count().await, 0, "{left}");
    }
}

// R14
#[tokio::test]
async fn expired_rows_are_deleted_in_batches_until_none_is_left() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    let statements = [
        "CREATE FUNCTION auth.few() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
             IF (SELECT count(*) FROM gone) > 500 THEN RAISE EXCEPTION 'too many at once'; END IF;
             RETURN NULL; END $f$",
        "CREATE TRIGGER few AFTER DELETE ON auth.spent_flow REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION auth.few()",
        "CREATE TRIGGER few AFTER DELETE ON auth.personal_invite REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION auth.few()",
        "CREATE TRIGGER few AFTER DELETE ON auth.handover_code REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION auth.few()",
        "INSERT INTO auth.spent_flow (flow_id, expires_at)
             SELECT gen_random_uuid(), now() - interval '2 h' FROM generate_series(1, 1300)",
        "INSERT INTO auth.personal_invite (token_hash, workspace_id, email, expires_at)
             SELECT sha256(n::text::bytea), (SELECT id FROM auth.workspace LIMIT 1),
                    'a@b.example', now() - interval '31 d' FROM generate_series(1, 1300) n",
        "INSERT INTO auth.handover_code (code_hash, session_id, origin, expires_at)
             SELECT sha256(n::text::bytea), (SELECT id FROM auth.session LIMIT 1), 'x',
                    now() - interval '2 h' FROM generate_series(1, 1300) n",
    ];
    for statement in statements {
        run(&app, statement).await;
    }
    cleanup::sweep(app.database.pool()).await.unwrap();
    let over: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM auth.spent_flow WHERE expires_at < now())
              + (SELECT count(*) FROM auth.personal_invite)
              + (SELECT count(*) FROM auth.handover_code WHERE expires_at < now())",
    )
    .fetch_one(app.database.pool())
    .await
    .unwrap();
    assert_eq!(over, 0);
}

// R9
#[tokio::test]
async fn repeated_starts_do_not_accumulate_unused_token_pairs() {
    let app = TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let mut browser = app.signed_in("ada").await;
    app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], false)
        .await;
    for _ in 0..30 {
        assert_eq!(browser.get("/auth/google").await.location(), APP);
    }
    let families: i64 = sqlx::query_scalar("SELECT count(*) FROM auth.refresh_family")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    assert_eq!(families, 20);
    let pair = browser.cookies.get("tokenPair");
    assert!(pair.is_some(), "the newest pair is handed over");
}
