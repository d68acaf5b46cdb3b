//! OpenID Connect Back-Channel Logout 1.0. Tests with the name of a module of the OpenID Foundation's
//! suite do what the module does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use latchkey_demo_provider::{Decision, Flavour};
use latchkey_proto::events::SessionEnded;
use prost::Message as _;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::end_session::{sign_out, way_back};
use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

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

// R14; sections 2.7 and 2.8.
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
    let more = json!({ "grantType": "cookie" });
    let response = here.post_json(PUBLIC, "/auth/token", &more).await;
    assert_eq!(response.status, 401, "{}", response.body);
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

// R14: which session is meant is not known if the session began before `sid` was stored, or if its ID
// token had none. A token that names the person too ends it; one with `sid` alone cannot.
#[tokio::test]
async fn a_session_without_a_sid_ends_with_its_person_and_not_by_a_sid_alone() {
    let app = TestApp::start().await;
    let mut other = signed_in(&app, "grace", "of grace").await;
    let mut meant = signed_in(&app, "ada", "first").await;
    let mut before = signed_in(&app, "ada", "before").await;
    let mut without = signed_in(&app, "ada", "without").await;
    let mut known = signed_in(&app, "ada", "known").await;
    let subject = app.events().await.pop().unwrap().identity.unwrap().subject;
    for change in [
        "UPDATE auth.session SET provider = NULL, issuer = NULL, provider_session = NULL
         WHERE provider_session IN ('before', 'of grace')",
        "UPDATE auth.session SET provider_session = NULL WHERE provider_session = 'without'",
    ] {
        let pool = app.database.pool();
        sqlx::query(change).execute(pool).await.unwrap();
    }

    for session in ["before", "without"] {
        assert_eq!(log_out(&app, &json!({ "sid": session })).await.status, 200);
    }
    assert!(ended(&app).await.is_empty());
    assert!(before.me().await.is_some() && without.me().await.is_some());

    let response = log_out(&app, &json!({ "sid": "first", "sub": subject })).await;
    assert_eq!(response.status, 200, "{}", response.body);
    for browser in [&mut meant, &mut before, &mut without] {
        assert_eq!(browser.me().await, None);
    }
    assert!(known.me().await.is_some(), "it began in another session");
    assert!(other.me().await.is_some());
    assert_eq!(ended(&app).await.len(), 3);
}

// R14; section 2.7: refresh tokens of `offline_access` stay valid.
#[tokio::test]
async fn a_connected_account_stays_connected() {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    app.store_grant(&["openid", "mail.read"], false).await;
    let grant = async || -> (i64, String) {
        let row = sqlx::query_as("SELECT count(*), max(c::text) FROM vault.credential c");
        row.fetch_one(app.database.pool()).await.unwrap()
    };
    let before = grant().await;
    assert_eq!(before.0, 1);
    assert_eq!(log_out(&app, &json!({ "sid": "first" })).await.status, 200);
    assert_eq!(browser.me().await, None);
    assert_eq!(grant().await, before);
    let events: Vec<String> =
        sqlx::query_scalar("SELECT event_type FROM auth.outbox ORDER BY event_type")
            .fetch_all(app.database.pool())
            .await
            .unwrap();
    assert_eq!(events, ["session.ended.v1", "user.authenticated.v1"]);
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

/// The provider calls with the logout token of a person who has signed out here: that is no error.
#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout() {
    let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_SIGN_OUT", "provider")]).await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let mut elsewhere = signed_in(&app, "ada", "first").await;
    let left = sign_out(&mut browser, "/auth/sign-out").await.refresh_url();
    let back = way_back(&app, &left).await;
    let response = log_out(&app, &json!({ "sid": "first" })).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert_eq!(response.headers["cache-control"], "no-store");
    assert_eq!(browser.get(&back).await.location(), APP);
    assert_eq!(elsewhere.me().await, None);
    assert_eq!(ended(&app).await.len(), 1);
}

/// What a module changes in a valid logout token.
enum Change {
    Claims(Value),
    /// The token of the module instead, made from the claims of a valid one.
    Token(fn(&TestApp, &Value) -> String),
}

/// Sends a logout token with this change: it is refused and ends nothing.
async fn is_refused(change: Change) {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let subject = app.events().await.pop().unwrap().identity.unwrap().subject;
    let mut all = claims(&json!({ "sid": "first", "sub": subject }));
    if let Change::Claims(change) = &change {
        all.extend(claims(change));
    }
    let signed = app.demo.logout_token(Flavour::Oidc, &all).unwrap();
    let token = match change {
        Change::Claims(_) => signed,
        Change::Token(make) => make(&app, &payload(&signed)),
    };
    refuses(&app, &token).await;
    assert!(browser.me().await.is_some());
    assert!(ended(&app).await.is_empty());
}

/// Section 2.8: the answer to a logout token that is not valid.
async fn refuses(app: &TestApp, token: &str) {
    let response = send(app, token).await;
    assert_eq!(response.status, 400, "{token}");
    assert_eq!(response.headers["cache-control"], "no-store");
    assert_eq!(response.json()["error"], "invalid_request");
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_alg_none() {
    is_refused(Change::Token(|_, claims| {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "alg": "none", "typ": "logout+jwt" });
        format!("{}.{}.", encode(&header), encode(claims))
    }))
    .await;
}

/// The provider announces ES256 alone, so that the client's secret signs nothing.
#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg() {
    is_refused(Change::Token(|app, claims| {
        let secret = app.demo.client_secret().as_bytes();
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    }))
    .await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_no_event() {
    is_refused(Change::Claims(json!({ "events": null }))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event() {
    let another = "http://schemas.openid.net/secevent/risc/event-type/account-disabled";
    is_refused(Change::Claims(json!({ "events": { another: {} } }))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce() {
    is_refused(Change::Claims(json!({ "nonce": "n-0S6_WzA2Mj" }))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss() {
    is_refused(Change::Claims(json!({ "iss": "https://evil.example" }))).await;
}

#[tokio::test]
async fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud() {
    is_refused(Change::Claims(json!({ "aud": "another-client" }))).await;
}

// R14; section 2.4: what makes an ID token is not what makes a logout token.
#[tokio::test]
async fn an_id_token_is_no_logout_token() {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let issued = app.demo.issued();
    let id_token = issued.iter().rfind(|one| one.kind == "id_token").unwrap();
    refuses(&app, &id_token.token).await;
    assert!(browser.me().await.is_some());
}

// R14; section 2.6.
#[tokio::test]
async fn a_forged_expired_or_foreign_logout_token_ends_nothing() {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let valid = claims(&json!({ "sid": "first" }));
    let valid = app.demo.logout_token(Flavour::Oidc, &valid).unwrap();
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let mut forged = vec![
        format!("{message}."),
        format!("{message}.{}", signature.chars().rev().collect::<String>()),
        // An encrypted one has five parts.
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        "no token".to_owned(),
        String::new(),
    ];
    for change in [
        json!({ "jti": null }),
        json!({ "iat": null }),
        json!({ "exp": null }),
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
        refuses(&app, &token).await;
    }
    assert!(browser.me().await.is_some());
    assert!(ended(&app).await.is_empty());
}

// R14; section 2.5.
#[tokio::test]
async fn a_request_has_one_logout_token_in_a_form_of_a_configured_provider() {
    let app = TestApp::start().await;
    let mut browser = signed_in(&app, "ada", "first").await;
    let valid = claims(&json!({ "sid": "first" }));
    let valid = app.demo.logout_token(Flavour::Oidc, &valid).unwrap();
    for form in [
        String::new(),
        format!("token={valid}"),
        format!("logout_token={valid}&logout_token={valid}"),
    ] {
        let response = app.browser().post_form(PATH, form).await;
        assert_eq!(response.status, 400, "{}", response.body);
    }
    let query = format!("{PATH}?logout_token={valid}");
    assert_eq!(app.browser().get(&query).await.status, 405);
    assert_eq!(app.browser().post(&query).await.status, 400);
    let unknown = "/auth/oidc/nobody/backchannel-logout";
    let form = format!("logout_token={valid}");
    assert_eq!(app.browser().post_form(unknown, form).await.status, 404);
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
