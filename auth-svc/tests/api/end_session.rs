//! OpenID Connect RP-Initiated Logout 1.0. Tests with the name of a module of the OpenID Foundation's
//! suite do what the module does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use auth_svc::store::cleanup;
use latchkey_demo_provider::{Decision, EndedSession, Endpoint, Fault, Flavour};
use latchkey_domain::{Clock as _, ManualClock, SystemClock};
use serde_json::{Map, Value, json};
use url::Url;

use crate::support::front_end::CRM;
use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

const DEMO: [(&str, &str); 2] = [
    ("AUTH_OIDC_DEMO_SIGN_OUT", "provider"),
    ("ALLOWED_RETURN_ORIGINS", CRM),
];

async fn start() -> TestApp {
    TestApp::start_with(&DEMO).await
}

async fn signed_in(app: &TestApp, person: &str) -> Browser {
    signed_in_at(app, "/auth/oidc/demo?prompt=consent", person).await
}

async fn signed_in_at(app: &TestApp, start: &str, person: &str) -> Browser {
    let mut browser = app.browser();
    let decision = Decision::allow(person);
    let response = app.run_flow(&mut browser, start, &decision).await;
    assert_eq!(response.location(), APP);
    browser
}

/// Signs out as a page of this service does.
pub async fn sign_out(browser: &mut Browser, path: &str) -> Response {
    let own = [
        ("origin", PUBLIC.to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let headers = std::mem::take(&mut browser.headers);
    browser.headers.extend(headers.iter().cloned().chain(own));
    let response = browser.post(path).await;
    browser.headers = headers;
    response
}

fn parameters(url: &str) -> BTreeMap<String, String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().into_owned().collect()
}

/// Opens the provider's URL and returns the path and query here to which it sends the browser.
pub async fn way_back(app: &TestApp, url: &str) -> String {
    let base = app.demo.base_url();
    let path = url.strip_prefix(base).unwrap();
    let response = Browser::new(base.to_owned()).get(path).await;
    assert_eq!(response.status, 303, "{}", response.body);
    let back = response.full_location();
    back.strip_prefix(PUBLIC).unwrap().to_owned()
}

/// Returns `true` if the browser has the cookie of a sign-out.
fn is_bound(browser: &Browser) -> bool {
    browser.cookies.contains_key("__Host-latchkey-sign-out")
}

/// The ID token that the provider issued last.
fn last_id_token(app: &TestApp) -> String {
    let issued = app.demo.issued();
    let last = issued.iter().rfind(|issued| issued.kind == "id_token");
    last.unwrap().token.clone()
}

/// The sealed ID tokens that are kept.
async fn kept(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar("SELECT sealed_id_token FROM auth.session WHERE sealed_id_token IS NOT NULL")
        .fetch_all(app.database.pool())
        .await
        .unwrap()
}

fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn ended(flavour: Flavour, person: Option<&str>) -> EndedSession {
    EndedSession {
        flavour,
        person: person.map(str::to_owned),
    }
}

/// R50; section 2: a sign-out ends the session here and then at the provider.
#[tokio::test]
async fn oidcc_client_test_rp_init_logout() {
    let app = start().await;
    let mut browser = signed_in(&app, "ada").await;
    let before = browser.clone();
    let hint = last_id_token(&app);

    let response = sign_out(&mut browser, "/auth/sign-out").await;
    assert_eq!(response.status, 200, "{}", response.body);
    // Everything here has ended before the browser asks the provider.
    assert_eq!(browser.session(), None);
    assert_eq!(before.clone().me().await, None);
    assert!(app.demo.ended_sessions().is_empty());

    let url = response.refresh_url();
    assert!(url.starts_with(&format!("{}/oidc/end-session?", app.demo.base_url())));
    let sent = parameters(&url);
    assert_eq!(
        sent.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "client_id",
            "id_token_hint",
            "post_logout_redirect_uri",
            "state"
        ]
    );
    assert_eq!(sent["id_token_hint"], hint);
    assert_eq!(
        sent["post_logout_redirect_uri"],
        format!("{PUBLIC}/auth/oidc/demo/signed-out")
    );

    let back = way_back(&app, &url).await;
    assert_eq!(
        app.demo.ended_sessions(),
        [ended(Flavour::Oidc, Some("ada"))]
    );
    let response = browser.get(&back).await;
    assert_eq!((response.status, response.location().as_str()), (302, APP));
    assert!(!is_bound(&browser), "{:?}", browser.cookies);
}

// R50
#[tokio::test]
async fn a_sign_out_everywhere_goes_on_at_the_provider_of_this_browser() {
    let app = start().await;
    let mut here = signed_in(&app, "ada").await;
    let mut there = signed_in(&app, "ada").await;
    let response = sign_out(&mut here, "/auth/sign-out-everywhere?returnTo=/bye").await;
    let back = way_back(&app, &response.refresh_url()).await;
    assert_eq!(there.me().await, None);
    assert!(kept(&app).await.is_empty());
    assert_eq!(here.get(&back).await.location(), format!("{APP}bye"));
}

// R50
#[tokio::test]
async fn microsoft_ends_its_session_too() {
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_SIGN_OUT", "provider")]).await;
    let mut browser = signed_in_at(&app, "/auth/microsoft?prompt=consent", "ada").await;
    let response = sign_out(&mut browser, "/auth/sign-out").await;
    let back = way_back(&app, &response.refresh_url()).await;
    assert!(
        back.starts_with("/auth/microsoft/signed-out?state="),
        "{back}"
    );
    assert_eq!(
        app.demo.ended_sessions(),
        [ended(Flavour::Microsoft, Some("ada"))]
    );
    assert_eq!(browser.get(&back).await.location(), APP);
}

// R50
#[tokio::test]
async fn a_local_sign_out_sends_nobody_to_the_provider_and_keeps_no_id_token() {
    for changes in [&[][..], &[("AUTH_OIDC_DEMO_SIGN_OUT", "local")]] {
        let app = TestApp::start_with(changes).await;
        let mut browser = signed_in(&app, "ada").await;
        assert!(kept(&app).await.is_empty());
        let response = sign_out(&mut browser, "/auth/sign-out").await;
        assert_eq!((response.status, response.location().as_str()), (303, "/"));
        let mut browser = signed_in(&app, "ada").await.json();
        let response = sign_out(&mut browser, "/auth/sign-out").await;
        assert_eq!((response.status, response.body.as_str()), (204, ""));
        assert!(app.demo.ended_sessions().is_empty());
    }
}

// R50: the provider that the session began with decides.
#[tokio::test]
async fn a_session_that_began_at_another_provider_ends_here_alone() {
    let app = start().await;
    let mut browser = app.signed_in("ada").await;
    assert!(kept(&app).await.is_empty());
    let response = sign_out(&mut browser, "/auth/sign-out").await;
    assert_eq!((response.status, response.location().as_str()), (303, "/"));
    // Nobody is signed in any more.
    let response = sign_out(&mut browser, "/auth/sign-out").await;
    assert_eq!((response.status, response.location().as_str()), (303, "/"));
}

// R50: the address of the provider is known or not; it is never waited for.
#[tokio::test]
async fn a_sign_out_does_not_wait_for_a_provider_that_is_down() {
    let app = start().await;
    let mut known = signed_in(&app, "ada").await;
    let unknown = signed_in(&app, "grace").await;
    // A replica that knows no discovery document, and a provider that does not answer.
    let slow = Fault::on(Endpoint::Discovery).delayed_ms(60_000).times(9);
    app.demo.inject(slow);
    let mut unknown = unknown.at(&app.replica(&[]));
    let begun = std::time::Instant::now();
    let response = sign_out(&mut unknown, "/auth/sign-out").await;
    assert_eq!((response.status, response.location().as_str()), (303, "/"));
    assert_eq!(unknown.me().await, None);
    let response = sign_out(&mut known, "/auth/sign-out").await;
    assert_eq!(known.me().await, None);
    assert!(response.refresh_url().contains("/oidc/end-session?"));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

// R50
#[tokio::test]
async fn without_an_end_session_endpoint_the_sign_out_ends_here() {
    let app = TestApp::start_with(&[
        ("AUTH_GOOGLE_SIGN_OUT", "provider"),
        ("AUTH_OIDC_DEMO_SIGN_OUT", "provider"),
    ])
    .await;
    let unusable = "http://id.acme.example/in-clear-text";
    for announced in [Value::Null, json!(7), json!(unusable)] {
        app.demo.change(|settings| {
            let name = "end_session_endpoint".to_owned();
            settings.discovery.insert(name, announced);
        });
        let replica = app.replica(&[]);
        for start in [
            "/auth/google?prompt=consent",
            "/auth/oidc/demo?prompt=consent",
        ] {
            let mut browser = app.browser().at(&replica);
            let decision = Decision::allow("ada");
            let response = app.run_flow(&mut browser, start, &decision).await;
            assert_eq!(response.location(), APP);
            assert!(kept(&app).await.is_empty(), "{start}");
            let response = sign_out(&mut browser, "/auth/sign-out").await;
            assert_eq!((response.status, response.location().as_str()), (303, "/"));
            assert_eq!(browser.me().await, None);
        }
    }
}

/// Signs out, and opens what the provider makes of the address to return to: a page that leads nowhere.
async fn returns_with(change: fn(&str) -> String) {
    let app = start().await;
    let mut browser = signed_in(&app, "ada").await;
    let left = sign_out(&mut browser, "/auth/sign-out").await.refresh_url();
    let changed = change(&way_back(&app, &left).await);
    let page = browser.get(&changed).await;
    assert_eq!(page.status, 400, "{changed}");
    assert!(page.body.contains("This does not belong to a sign-out"));
    assert!(!page.headers.contains_key("location"));
    assert_eq!(browser.me().await, None);
    assert_eq!(app.demo.ended_sessions().len(), 1);
}

/// R50; section 3: the provider returns another `state` than that of the request.
#[tokio::test]
async fn oidcc_client_test_rp_init_logout_other_state() {
    returns_with(|back| {
        let (path, _) = back.split_once("?state=").unwrap();
        format!("{path}?state=af0ifjsldkj")
    })
    .await;
}

/// R50; section 3: the provider returns no `state`.
#[tokio::test]
async fn oidcc_client_test_rp_init_logout_no_state() {
    returns_with(|back| back.split_once('?').unwrap().0.to_owned()).await;
}

// R50: section 3; the state is checked on return.
#[tokio::test]
async fn a_missing_wrong_or_foreign_state_leads_nowhere_and_changes_nothing() {
    let app = start().await;
    let mut grace = signed_in(&app, "grace").await;
    let mut browser = signed_in(&app, "ada").await;
    let response = sign_out(&mut browser, "/auth/sign-out").await;
    let back = way_back(&app, &response.refresh_url()).await;
    let (_, state) = back.split_once("?state=").unwrap();
    let flow_cookie = {
        let mut other = app.browser();
        other.start_through_page("/auth/google").await;
        other.cookies.values().next().unwrap().clone()
    };
    for wrong in [
        "/auth/oidc/demo/signed-out?state=".to_owned(),
        format!("{back}A"),
        format!("{back}&state={state}"),
        format!("/auth/oidc/demo/signed-out?state={flow_cookie}"),
        // That of another provider, and of one that does not exist.
        format!("/auth/microsoft/signed-out?state={state}"),
        format!("/auth/oidc/nobody/signed-out?state={state}"),
    ] {
        let response = browser.clone().json().get(&wrong).await;
        assert_eq!(response.status, 400, "{wrong}");
        assert_eq!(response.code(), "sign_out_unknown", "{wrong}");
        let page = browser.get(&wrong).await;
        assert_eq!(page.status, 400);
        assert!(page.body.contains("This does not belong to a sign-out"));
        assert!(!page.headers.contains_key("location"));
    }
    // Another browser.
    let response = app.browser().json().get(&back).await;
    assert_eq!(response.code(), "sign_out_unknown");
    let response = grace.get(&back).await;
    assert_eq!(response.status, 400, "a link does not sign grace out");
    assert!(grace.me().await.is_some());
    // The right one still works.
    assert_eq!(browser.get(&back).await.location(), APP);
    // Once: the cookie is gone.
    assert_eq!(browser.get(&back).await.status, 400);
}

// R50
#[tokio::test]
async fn a_state_expires_after_ten_minutes() {
    for (wait, accepted) in [(599, true), (600, false)] {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let app = TestApp::start_at(&DEMO, clock.clone(), Arc::new(SystemClock)).await;
        let mut browser = signed_in(&app, "ada").await;
        let response = sign_out(&mut browser, "/auth/sign-out").await;
        let back = way_back(&app, &response.refresh_url()).await;
        clock.advance(Duration::from_secs(wait));
        let response = browser.get(&back).await;
        assert_eq!(response.status == 302, accepted, "{wait}");
    }
}

// R50 R8
#[tokio::test]
async fn a_return_location_outside_the_deployment_is_refused_and_nobody_is_signed_out() {
    for changes in [&DEMO[..], &[]] {
        let app = TestApp::start_with(changes).await;
        let mut browser = signed_in(&app, "ada").await.json();
        for evil in [
            "https://evil.example/",
            "//evil.example",
            "javascript:alert(1)",
            "https://app.test.example@evil.example",
        ] {
            for path in ["/auth/sign-out", "/auth/sign-out-everywhere"] {
                let response = sign_out(&mut browser, &format!("{path}?returnTo={evil}")).await;
                let refused = (response.status, response.code());
                assert_eq!(
                    refused,
                    (400, "return_location_refused".to_owned()),
                    "{evil}"
                );
            }
        }
        assert!(browser.me().await.is_some());
    }
}

// R50 R8
#[tokio::test]
async fn the_return_location_is_opened_after_a_sign_out_of_either_kind() {
    for (changes, at_provider) in [(&DEMO[..], true), (&DEMO[1..], false)] {
        let app = TestApp::start_with(changes).await;
        for (given, expected) in [
            ("/objects?a=b#c", format!("{APP}objects?a=b#c")),
            (CRM, format!("{CRM}/")),
        ] {
            let mut browser = signed_in(&app, "ada").await;
            let given: String = url::form_urlencoded::byte_serialize(given.as_bytes()).collect();
            let path = format!("/auth/sign-out?returnTo={given}");
            let next = sign_out(&mut browser, &path).await.refresh_url();
            let opened = if at_provider {
                let back = way_back(&app, &next).await;
                browser.get(&back).await.location()
            } else {
                next
            };
            assert_eq!(opened, expected);
        }
    }
}

// R50 R9: `fetch` cannot follow a redirect into the page.
#[tokio::test]
async fn a_front_end_gets_the_address_at_the_provider() {
    let app = start().await;
    let mut with_cookie = signed_in(&app, "ada").await;
    let access = signed_in(&app, "ada").await.access_token().await;
    // A front end on another site, or a program, has no cookie of this service.
    let mut with_token = app.browser();
    with_token.headers = vec![("authorization", format!("Bearer {access}"))];
    for (browser, binds) in [(&mut with_cookie, true), (&mut with_token, false)] {
        browser.headers.extend([
            ("origin", CRM.to_owned()),
            ("accept", "application/json".to_owned()),
        ]);
        let path = format!("/auth/sign-out?returnTo={CRM}/done");
        let response = browser.post(&path).await;
        assert_eq!(response.status, 200, "{}", response.body);
        let url = response.json()["endSessionUrl"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(is_bound(browser), binds, "{:?}", browser.cookies);
        // An access token alone does not give the ID token to whoever has it.
        assert_eq!(parameters(&url).contains_key("id_token_hint"), binds);
        assert_eq!(browser.me().await, None);
        let back = way_back(&app, &url).await;
        browser.headers.clear();
        let response = browser.get(&back).await;
        assert_eq!(response.location(), format!("{CRM}/done"));
    }
    assert_eq!(app.demo.ended_sessions().len(), 2);
}

// R50
#[tokio::test]
async fn the_id_token_is_kept_sealed_and_in_no_cookie() {
    let app = start().await;
    let mut browser = signed_in(&app, "ada").await;
    let id_token = last_id_token(&app);
    let payload = id_token.split('.').nth(1).unwrap();
    let sealed = kept(&app).await;
    assert_eq!(sealed.len(), 1);
    assert!(sealed[0].starts_with("v1.test."), "{}", sealed[0]);
    assert!(!sealed[0].contains(payload));
    let response = sign_out(&mut browser, "/auth/sign-out").await;
    let cookies = format!("{:?} {:?}", response.set_cookies(), browser.cookies);
    assert!(cookies.contains("__Host-latchkey-sign-out="), "{cookies}");
    for part in [payload, &sealed[0]] {
        assert!(!cookies.contains(part), "{cookies}");
    }
}

// R50
#[tokio::test]
async fn the_id_token_is_erased_with_the_session() {
    let app = start().await;
    let pool = app.database.pool();
    for end in [
        "UPDATE auth.session SET revoked_at = now() WHERE revoked_at IS NULL",
        "UPDATE auth.session SET expires_at = now() - interval '1 s'",
        "UPDATE auth.session SET last_seen_at = now() - interval '15 d'",
        "DELETE FROM auth.session",
    ] {
        signed_in(&app, "ada").await;
        cleanup::sweep(pool).await.unwrap();
        assert_eq!(kept(&app).await.len(), 1, "{end}");
        sqlx::query(end).execute(pool).await.unwrap();
        cleanup::sweep(pool).await.unwrap();
        assert!(kept(&app).await.is_empty(), "{end}");
    }
    // By each way of this service.
    let mut browser = signed_in(&app, "ada").await;
    sign_out(&mut browser, "/auth/sign-out").await;
    assert!(kept(&app).await.is_empty());

    let mut browser = signed_in(&app, "ada").await;
    let id = browser.me().await.unwrap()["sessionId"].clone();
    let path = format!("/auth/sessions/{}", id.as_str().unwrap());
    let response = browser.send(reqwest::Method::DELETE, &path).await;
    assert_eq!(response.status, 204);
    assert!(kept(&app).await.is_empty());

    let mut browser = signed_in(&app, "ada").await;
    let start = "/auth/oidc/demo?prompt=consent";
    let decision = Decision::allow("ada");
    app.run_flow(&mut browser, start, &decision).await;
    assert_eq!(
        kept(&app).await.len(),
        1,
        "that of the session before is erased"
    );

    let subject = app.events().await.pop().unwrap().identity.unwrap().subject;
    let token = claims(&json!({ "sub": subject }));
    let token = app.demo.logout_token(Flavour::Oidc, &token).unwrap();
    let form = format!("logout_token={token}");
    let path = "/auth/oidc/demo/backchannel-logout";
    assert_eq!(app.browser().post_form(path, form).await.status, 200);
    assert!(kept(&app).await.is_empty());
}

// R50: servers accept no URL of any length.
#[tokio::test]
async fn a_long_id_token_is_not_kept_and_the_sign_out_works_without_it() {
    let app = start().await;
    let groups = "g".repeat(4 * 1024);
    app.demo
        .set_claims("ada", claims(&json!({ "groups": groups })));
    let mut browser = signed_in(&app, "ada").await;
    assert!(kept(&app).await.is_empty());
    let url = sign_out(&mut browser, "/auth/sign-out").await.refresh_url();
    assert!(!parameters(&url).contains_key("id_token_hint"));
    let back = way_back(&app, &url).await;
    assert_eq!(app.demo.ended_sessions(), [ended(Flavour::Oidc, None)]);
    assert_eq!(browser.get(&back).await.location(), APP);
}

// R50: the key was replaced, or the row of another session was copied.
#[tokio::test]
async fn an_id_token_that_does_not_open_is_left_out() {
    let app = start().await;
    let browser = signed_in(&app, "ada").await;
    let key = "next:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
    let replica = app.replica(&[("FLOW_COOKIE_KEYS", key)]);
    // The replica learns the address of the provider.
    let mut other = app.browser().at(&replica);
    other.start_through_page("/auth/oidc/demo").await;
    let mut browser = browser.at(&replica);
    let url = sign_out(&mut browser, "/auth/sign-out").await.refresh_url();
    assert!(!parameters(&url).contains_key("id_token_hint"));

    let mut ada = signed_in(&app, "ada").await;
    signed_in(&app, "grace").await;
    sqlx::query(
        "UPDATE auth.session SET sealed_id_token =
             (SELECT sealed_id_token FROM auth.session s JOIN auth.app_user u ON u.id = s.user_id
              WHERE u.email = 'grace@acme.example')",
    )
    .execute(app.database.pool())
    .await
    .unwrap();
    let url = sign_out(&mut ada, "/auth/sign-out").await.refresh_url();
    assert!(!parameters(&url).contains_key("id_token_hint"));
}
