use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::front_end::{CHALLENGE, CRM, code_with_verifier, start_with_front_end};
use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

/// The origin of the application, as browsers write it.
const APP_ORIGIN: &str = "https://app.test.example";

async fn signed_in(app: &TestApp, query: &str) -> (Browser, Response) {
    let mut browser = app.browser();
    let path = format!("/auth/google?prompt=consent{query}");
    let response = app
        .run_flow(&mut browser, &path, &Decision::allow("ada"))
        .await;
    (browser, response)
}

fn code(code: &str) -> Value {
    json!({ "grantType": "code", "code": code })
}

// R10
#[tokio::test]
async fn another_origin_gets_a_one_time_code_in_the_fragment_and_never_a_long_lived_secret() {
    let app = TestApp::start().await;
    let (mut browser, response) = signed_in(&app, "").await;
    let handed = response.handover_code().unwrap();
    assert_eq!(response.full_location(), format!("{APP}#code={handed}"));
    assert_eq!(handed.len(), 43);
    let tokens = browser
        .post_json(APP_ORIGIN, "/auth/token", &code(&handed))
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.headers["access-control-allow-origin"], APP_ORIGIN);
    assert_eq!(tokens.headers["access-control-allow-credentials"], "true");
    let tokens = tokens.json();
    assert_eq!(tokens.get("refreshToken"), None);
    let token = tokens["accessToken"]["token"].as_str().unwrap().to_owned();
    let mut bearer = app.browser();
    bearer.headers = vec![("authorization", format!("Bearer {token}"))];
    assert_eq!(bearer.me().await.unwrap()["email"], "ada@acme.example");
}

// R10
#[tokio::test]
async fn this_origin_needs_no_code() {
    let app = TestApp::start_with(&[("APP_URL", PUBLIC)]).await;
    let (mut browser, response) = signed_in(&app, "").await;
    assert_eq!(response.full_location(), format!("{PUBLIC}/"));
    let cookies = response.set_cookies();
    let cookie = cookies
        .iter()
        .find(|line| line.starts_with("__Host-latchkey-session="))
        .unwrap();
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("Secure")
            && cookie.contains("SameSite=Lax")
            && !cookie.contains("Domain"),
        "{cookie}"
    );
    let tokens = browser
        .post_json(PUBLIC, "/auth/token", &json!({ "grantType": "cookie" }))
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

// R10
#[tokio::test]
async fn a_code_works_once_and_its_reuse_ends_the_tokens_it_gave() {
    let app = start_with_front_end().await;
    let (_, response) =
        signed_in(&app, &format!("&returnTo={CRM}/&codeChallenge={CHALLENGE}")).await;
    let handed = response.handover_code().unwrap();
    let mut front_end = app.browser();
    let first = front_end
        .post_json(CRM, "/auth/token", &code_with_verifier(&handed))
        .await;
    assert_eq!(first.status, 200, "{}", first.body);
    let renew = json!({ "grantType": "cookie" });
    assert_eq!(
        front_end.post_json(CRM, "/auth/token", &renew).await.status,
        200
    );

    let mut thief = app.browser();
    let again = thief
        .post_json(CRM, "/auth/token", &code_with_verifier(&handed))
        .await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (401, "invalid_grant")
    );
    let ended = front_end.post_json(CRM, "/auth/token", &renew).await;
    assert_eq!(ended.status, 401, "{}", ended.body);
}

// R10
#[tokio::test]
async fn a_code_from_another_origin_is_refused_and_becomes_invalid() {
    let app = start_with_front_end().await;
    let (mut browser, response) = signed_in(&app, "").await;
    let handed = response.handover_code().unwrap();
    let foreign = browser.post_json(CRM, "/auth/token", &code(&handed)).await;
    assert_eq!(
        (foreign.status, foreign.code().as_str()),
        (401, "invalid_grant")
    );
    let own = browser
        .post_json(APP_ORIGIN, "/auth/token", &code(&handed))
        .await;
    assert_eq!(own.status, 401, "a code can be tried once");
}

// R10, RP5
#[tokio::test]
async fn a_strangers_code_signs_nobody_in() {
    let app = start_with_front_end().await;
    // Without a challenge only the browser that signed in can redeem the code.
    let (_, response) = signed_in(&app, "").await;
    let handed = response.handover_code().unwrap();
    let mut victim = app.browser();
    let response = victim
        .post_json(APP_ORIGIN, "/auth/token", &code(&handed))
        .await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (401, "invalid_grant")
    );
    // With a challenge the verifier is required, even if the cookie is sent.
    for body in [
        json!({ "grantType": "code" }),
        json!({ "grantType": "code", "verifier": "e".repeat(43) }),
    ] {
        let (mut browser, response) = signed_in(&app, &format!("&codeChallenge={CHALLENGE}")).await;
        let mut body = body;
        body["code"] = json!(response.handover_code().unwrap());
        let response = browser.post_json(APP_ORIGIN, "/auth/token", &body).await;
        assert_eq!(response.status, 401, "{}", response.body);
    }
}

// R10
#[tokio::test]
async fn a_code_expires_within_a_minute_and_with_its_session() {
    let app = TestApp::start().await;
    for end in [
        "UPDATE auth.handover_code SET expires_at = now()",
        "UPDATE auth.session SET revoked_at = now()",
    ] {
        let (mut browser, response) = signed_in(&app, "").await;
        let (in_time,): (bool,) = sqlx::query_as(
            "SELECT bool_and(expires_at <= now() + interval '60 s') FROM auth.handover_code",
        )
        .fetch_one(app.database.pool())
        .await
        .unwrap();
        assert!(in_time);
        sqlx::query(end).execute(app.database.pool()).await.unwrap();
        let handed = response.handover_code().unwrap();
        let response = browser
            .post_json(APP_ORIGIN, "/auth/token", &code(&handed))
            .await;
        assert_eq!(response.status, 401, "{end}");
    }
}

// R10
#[tokio::test]
async fn a_front_end_on_another_site_refreshes_with_an_http_only_cookie() {
    let app = start_with_front_end().await;
    let (_, response) = signed_in(
        &app,
        &format!("&returnTo={CRM}/x%23y&codeChallenge={CHALLENGE}"),
    )
    .await;
    let handed = response.handover_code().unwrap();
    assert_eq!(response.full_location(), format!("{CRM}/x#y&code={handed}"));
    let mut front_end = app.browser();
    let response = front_end
        .post_json(CRM, "/auth/token", &code_with_verifier(&handed))
        .await;
    let cookie = response.set_cookies().pop().unwrap();
    for part in [
        "__Host-latchkey-refresh-",
        "HttpOnly",
        "Secure",
        "SameSite=None",
        "Partitioned",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(response.json().get("refreshToken"), None);
    let renew = json!({ "grantType": "cookie" });
    for _ in 0..3 {
        assert_eq!(
            front_end.post_json(CRM, "/auth/token", &renew).await.status,
            200
        );
    }
    // Another front end cannot use the cookie.
    let other = front_end.post_json(APP_ORIGIN, "/auth/token", &renew).await;
    assert_eq!(other.status, 401);
}

// R10: a link with an invalid code signs nobody out
#[tokio::test]
async fn a_refused_code_ends_no_session() {
    let app = start_with_front_end().await;
    let (_, response) =
        signed_in(&app, &format!("&returnTo={CRM}/&codeChallenge={CHALLENGE}")).await;
    let mut front_end = app.browser();
    let grant = code_with_verifier(&response.handover_code().unwrap());
    front_end.post_json(CRM, "/auth/token", &grant).await;
    let made_up = code(&"x".repeat(43));
    let response = front_end.post_json(CRM, "/auth/token", &made_up).await;
    assert_eq!(response.status, 401);
    let renew = json!({ "grantType": "cookie" });
    let response = front_end.post_json(CRM, "/auth/token", &renew).await;
    assert_eq!(response.status, 200, "{}", response.body);
}

// R8 R10
#[tokio::test]
async fn a_person_who_is_signed_in_gets_another_code() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let again = browser.get("/auth/google?returnTo=/inbox").await;
    let handed = again.handover_code().unwrap();
    let tokens = browser
        .post_json(APP_ORIGIN, "/auth/token", &code(&handed))
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

// R9
#[tokio::test]
async fn the_token_pair_cookie_has_exactly_the_format_of_existing_front_ends() {
    let app = TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let (mut browser, response) = signed_in(&app, "").await;
    let lines = response.set_cookies();
    let line = lines
        .iter()
        .find(|line| line.starts_with("tokenPair="))
        .unwrap();
    let (value, attributes) = line["tokenPair=".len()..].split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; Secure; SameSite=Lax");
    assert!(line.len() < 4096, "browsers drop longer cookies");

    // decodeURIComponent does not decode a plus sign, so there must be none.
    assert!(!value.contains('+'));
    let form = format!("v={value}");
    let (_, json) = url::form_urlencoded::parse(form.as_bytes()).next().unwrap();
    let pair: Value = serde_json::from_str(&json).unwrap();
    let names: Vec<&String> = pair.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "accessOrWorkspaceAgnosticToken",
            "accessToken",
            "refreshToken"
        ]
    );
    assert_eq!(pair["accessToken"], pair["accessOrWorkspaceAgnosticToken"]);
    for name in names {
        let token = pair[name].as_object().unwrap();
        assert_eq!(token.keys().collect::<Vec<_>>(), ["expiresAt", "token"]);
        let expires_at = token["expiresAt"].as_str().unwrap();
        assert_eq!(expires_at.len(), "2026-11-24T08:00:00.000Z".len());
        assert!(expires_at.ends_with('Z'));
    }
    // Both tokens are valid.
    let access = pair["accessToken"]["token"].as_str().unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(access.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["iss"], PUBLIC);
    let renewed = app
        .browser()
        .post_json(
            APP_ORIGIN,
            "/auth/token",
            &json!({ "grantType": "refresh_token", "refreshToken": pair["refreshToken"]["token"] }),
        )
        .await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);

    // A repeated start sets the cookie too, and a sign-out removes it.
    let again = browser.get("/auth/google").await;
    assert!(
        again
            .set_cookies()
            .iter()
            .any(|line| line.starts_with("tokenPair="))
    );
    browser.post("/auth/sign-out").await;
    assert!(!browser.cookies.contains_key("tokenPair"));
}

// R9
#[tokio::test]
async fn no_token_pair_cookie_is_set_by_default() {
    let app = TestApp::start().await;
    let (_, response) = signed_in(&app, "").await;
    assert!(!response.headers_and_body().contains("tokenPair"));
}

// R10, RP13
#[tokio::test]
async fn only_the_configured_origins_may_ask_for_tokens() {
    let app = start_with_front_end().await;
    let mut browser = app.signed_in("ada").await;
    let grant = json!({ "grantType": "cookie" });
    for foreign in [
        "https://evil.example",
        "null",
        "http://crm.example",
        "https://crm.example:444",
        "https://crm.example.evil.example",
    ] {
        let response = browser.post_json(foreign, "/auth/token", &grant).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, "cross_site"),
            "{foreign}"
        );
        assert!(!response.headers.contains_key("access-control-allow-origin"));
    }
    // Without `Origin`: a form of another site, or of another host of the same site.
    for site in ["cross-site", "same-site"] {
        browser.headers = vec![
            ("sec-fetch-site", site.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        assert_eq!(browser.post("/auth/token").await.status, 403);
    }
    // A form that needs no preflight request is not JSON.
    browser.headers = vec![("origin", CRM.to_owned())];
    let response = browser.post("/auth/token").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (415, "json_needed")
    );
    browser.headers.clear();
    for body in [json!({}), json!({ "grantType": "password" }), json!([1])] {
        let response = browser.post_json(CRM, "/auth/token", &body).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_request")
        );
    }
}

// R10
#[tokio::test]
async fn a_preflight_is_answered_for_exactly_the_configured_origins() {
    let app = start_with_front_end().await;
    for (origin, allowed) in [(CRM, true), ("https://evil.example", false)] {
        let mut browser = app.browser();
        browser.headers = vec![
            ("origin", origin.to_owned()),
            ("access-control-request-method", "POST".to_owned()),
        ];
        let response = browser.send(Method::OPTIONS, "/auth/token").await;
        assert_eq!(response.status, 204);
        let given = response.headers.get("access-control-allow-origin");
        assert_eq!(given.is_some(), allowed, "{given:?}");
        assert!(
            allowed
                || !response
                    .headers
                    .contains_key("access-control-allow-methods")
        );
        assert_eq!(response.headers["vary"], "Origin");
    }
}

// R8 R10
#[tokio::test]
async fn a_workspaces_host_gets_no_session_of_another_workspace() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    let mut browser = app.browser();
    app.run_flow(
        &mut browser,
        "/auth/google?prompt=consent&workspaceSubdomain=acme",
        &Decision::allow("ada"),
    )
    .await;
    for (host, status) in [("acme", 200), ("other", 401)] {
        let origin = format!("https://{host}.app.test.example");
        let response = browser
            .post_json(&origin, "/auth/token", &json!({ "grantType": "cookie" }))
            .await;
        assert_eq!(response.status, status, "{}", response.body);
    }
}

// R11: browsers log each 401, although a page may ask at each load
#[tokio::test]
async fn asking_whether_somebody_is_signed_in_is_no_error() {
    let app = start_with_front_end().await;
    let ask = |grant: Value| {
        let mut grant = grant;
        grant["ifSignedIn"] = json!(true);
        grant
    };
    let mut browser = app.browser();
    for grant in [
        json!({ "grantType": "cookie" }),
        json!({ "grantType": "refresh_token", "refreshToken": "x".repeat(43) }),
        code(&"x".repeat(43)),
    ] {
        let response = browser.post_json(CRM, "/auth/token", &grant).await;
        assert_eq!(response.status, 401, "{grant}");
        let response = browser.post_json(CRM, "/auth/token", &ask(grant)).await;
        assert_eq!((response.status, response.body.as_str()), (204, ""));
        assert_eq!(response.headers["access-control-allow-origin"], CRM);
    }
    // `ifSignedIn` changes no other response.
    let foreign = browser
        .post_json(
            "https://evil.example",
            "/auth/token",
            &ask(json!({ "grantType": "cookie" })),
        )
        .await;
    assert_eq!(foreign.status, 403);
    let mut browser = app.signed_in("ada").await;
    let response = browser
        .post_json(
            APP_ORIGIN,
            "/auth/token",
            &ask(json!({ "grantType": "cookie" })),
        )
        .await;
    assert_eq!(response.status, 200, "{}", response.body);
    let life = response.json()["expiresIn"].as_i64().unwrap();
    assert!((1_700..=1_800).contains(&life), "{life}");
}

// R11
#[tokio::test]
async fn the_script_is_served_to_any_page_and_cached_by_its_etag() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let response = browser.get("/auth/session.js").await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        response.headers["cross-origin-resource-policy"],
        "cross-origin"
    );
    assert_eq!(response.headers["cache-control"], "public, max-age=3600");
    let tag = response.headers["etag"].to_str().unwrap().to_owned();
    browser.headers = vec![("if-none-match", tag)];
    let again = browser.get("/auth/session.js").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}
