//! OpenID Connect Back-Channel Logout 1.0. The names of the Foundation's modules are in the tests that
//! answer them.

use latchkey_demo_provider::{Decision, Flavour};
use latchkey_proto::events::SessionEnded;
use prost::Message as _;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::support::{APP, Browser, Response, TestApp};

const PATH: &str = "/auth/oidc/demo/backchannel-logout";

/// Signs in at the strict provider, in this session there.
async fn signed_in(app: &TestApp, person: &str, session: &str) -> Browser {
    app.demo
        .set_claims(person, claims(&json!({ "sid": session })));
    let mut browser = app.browser();
    let start = "/auth/oidc/demo?prompt=consent";
    let decision = Decision::allow(person);
    let response = app.run_flow(&mut browser, start, &decision).await;
    assert_eq!(response.location(), APP);
    browser
}

fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

async fn send(app: &TestApp, token: &str) -> Response {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    app.browser().post_form(PATH, body).await
}

async fn log_out(app: &TestApp, change: &Value) -> Response {
    let token = app
        .demo
        .logout_token(Flavour::Oidc, &claims(change))
        .unwrap();
    send(app, &token).await
}

async fn ended(app: &TestApp) -> Vec<SessionEnded> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT payload FROM auth.outbox WHERE event_type = 'session.ended.v1' ORDER BY 1",
    )
    .fetch_all(app.database.pool())
    .await
    .unwrap();
    let events = rows
        .iter()
        .map(|row| SessionEnded::decode(row.as_slice()).unwrap());
    events.collect()
}

// R14; rp-backchannel-rpinitlogout.
#[tokio::test]
async fn a_session_at_the_provider_ends_the_sessions_that_began_in_it() {
    let app = TestApp::start().await;
    let mut here = signed_in(&app, "ada", "first").await;
    let mut elsewhere = signed_in(&app, "ada", "second").await;
    let mut other = signed_in(&app, "grace", "third").await;
    let session = here.me().await.unwrap()["sessionId"].clone();
    let token = here.access_token().await;
    let replica = app.replica(&[]);

    let response = log_out(&app, &json!({ "sid": "first" })).await;
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.headers["cache-control"], "no-store");
    assert_eq!(here.me().await, None);
    // An access token of the session is refused at once, at every replica.
    let mut bearer = app.browser().at(&replica);
    bearer.headers = vec![("authorization", format!("Bearer {token}"))];
    assert_eq!(bearer.me().await, None);
    assert!(elsewhere.me().await.is_some());
    assert!(other.me().await.is_some());

    let events = ended(&app).await;
    assert_eq!(events.len(), 1);
    assert_eq!(json!(events[0].session_id), session);
    assert_eq!(events[0].provider, "demo");
}

// R14
#[tokio::test]
async fn a_subject_ends_every_session_of_the_person_with_this_provider() {
    let app = TestApp::start().await;
    let mut first = signed_in(&app, "ada", "first").await;
    let mut second = signed_in(&app, "ada", "second").await;
    let subject = app.events().await.pop().unwrap().identity.unwrap().subject;
    let mut other = signed_in(&app, "grace", "third").await;
    let mut at_google = app.signed_in("ada").await;

    assert_eq!(log_out(&app, &json!({ "sub": subject })).await.status, 200);
    assert_eq!(first.me().await, None);
    assert_eq!(second.me().await, None);
    assert!(other.me().await.is_some());
    assert!(at_google.me().await.is_some());
    assert_eq!(ended(&app).await.len(), 2);
}

// R14: the provider sends it again if it did not get the answer.
#[tokio::test]
async fn a_repeated_logout_token_does_not_end_a_later_session() {
    let app = TestApp::start().await;
    let mut before = signed_in(&app, "ada", "first").await;
    let subject = app.events().await.pop().unwrap().identity.unwrap().subject;
    let token = claims(&json!({ "sub": subject }));
    let token = app.demo.logout_token(Flavour::Oidc, &token).unwrap();
    assert_eq!(send(&app, &token).await.status, 200);
    assert_eq!(before.me().await, None);
    let mut later = signed_in(&app, "ada", "second").await;
    assert_eq!(send(&app, &token).await.status, 200);
    assert!(later.me().await.is_some());
}

// R14: the ID token was issued before the logout, and the callback comes after it.
#[tokio::test]
async fn a_sign_in_whose_session_at_the_provider_has_ended_begins_no_session() {
    let app = TestApp::start().await;
    app.demo
        .set_claims("ada", claims(&json!({ "sid": "first" })));
    let mut browser = app.browser();
    let start = "/auth/oidc/demo?prompt=consent";
    let callback = app
        .run_flow_to_callback(&mut browser, start, &Decision::allow("ada"))
        .await;
    assert_eq!(log_out(&app, &json!({ "sid": "first" })).await.status, 200);
    let response = browser.clone().json().get(&callback).await;
    assert_eq!(response.status, 401, "{}", response.body);
    assert_eq!(response.code(), "signed_out_at_provider");
    assert_eq!(browser.me().await, None);
}

// R14; rp-backchannel-rpinitlogout-invalid-iss, -invalid-aud, -invalid-event, -alg-none, -nonce and
// their like.
#[tokio::test]
async fn a_forged_expired_or_foreign_logout_token_ends_nothing() {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let valid = claims(&json!({ "sid": "first" }));
    let valid = app.demo.logout_token(Flavour::Oidc, &valid).unwrap();
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    // {"alg":"none"}
    let mut forged = vec![
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("{message}."),
        format!("{message}.{}", signature.chars().rev().collect::<String>()),
        "no token".to_owned(),
        String::new(),
    ];
    for change in [
        json!({ "iss": "https://evil.example" }),
        json!({ "aud": "another-client" }),
        json!({ "events": null }),
        json!({ "nonce": "n" }),
        json!({ "jti": null }),
        json!({ "iat": null }),
        json!({ "exp": 1_600_000_000 }),
        json!({ "sid": null }),
    ] {
        let mut all = claims(&json!({ "sid": "first" }));
        all.extend(claims(&change));
        forged.push(app.demo.logout_token(Flavour::Oidc, &all).unwrap());
    }
    // Google's key signs nothing for this provider.
    let foreign = claims(&json!({ "sid": "first", "iss": app.demo.issuer(Flavour::Oidc) }));
    forged.push(app.demo.logout_token(Flavour::Google, &foreign).unwrap());
    for token in forged {
        let response = send(&app, &token).await;
        assert_eq!(response.status, 400, "{token}");
        assert_eq!(response.headers["cache-control"], "no-store");
        assert_eq!(response.json()["error"], "invalid_request");
    }
    let response = app.browser().post_form(PATH, String::new()).await;
    assert_eq!(response.status, 400);
    let unknown = "/auth/oidc/nobody/backchannel-logout";
    let response = app.browser().post_form(unknown, String::new()).await;
    assert_eq!(response.status, 404);
    assert!(browser.me().await.is_some());
    assert!(ended(&app).await.is_empty());
}

// R14
#[tokio::test]
async fn logout_tokens_are_not_limited_by_address() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "60")]).await;
    for number in 0..100 {
        let session = format!("session {number}");
        assert_eq!(log_out(&app, &json!({ "sid": session })).await.status, 200);
    }
}
