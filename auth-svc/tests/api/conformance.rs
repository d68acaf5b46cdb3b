//! Modules of the OpenID Foundation's conformance suite for clients
//! (`oidcc-client-test-…`), each under its name, against the demo provider. Those
//! that are attacks are in `attacks/id_token.rs` and `attacks/key_sets.rs`, those about
//! refreshing in `crates/providers/tests/demo/conformance.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::{Decision, Endpoint, Flavour, Misbehaviour as M};
use serde_json::Value;

use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

const OIDC: &str = "/auth/oidc/demo";

/// Ada signs in at the OpenID provider.
async fn ada_signs_in(app: &TestApp) -> (Response, Browser) {
    let mut browser = app.browser().json();
    let response = app
        .run_flow(&mut browser, OIDC, &Decision::allow("ada"))
        .await;
    (response, browser)
}

/// Ada is who is signed in: address and name.
async fn signed_in_as(browser: &mut Browser) -> (Value, Value) {
    let me = browser.me().await.unwrap();
    (me["email"].clone(), me["displayName"].clone())
}

/// The header of the ID token that the provider gave last.
fn header_of_id_token(app: &TestApp) -> Value {
    let issued = app.demo.issued();
    let token = issued.iter().rfind(|one| one.kind == "id_token").unwrap();
    let header = token.token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn invalid_sig_es256() {
    let app = TestApp::start().await;
    app.demo.misbehave(Flavour::Oidc, Some(M::BadSignature));
    let (response, browser) = ada_signs_in(&app).await;
    assert_eq!(header_of_id_token(&app)["alg"], "ES256");
    assert_eq!(
        (response.status, response.code().as_str()),
        (400, "identity_not_proven")
    );
    assert!(browser.session().is_none());
}

/// `at_hash` is optional in the code flow (Core 3.1.3.6); where it comes, it has to
/// be right (`attacks::id_token::at_hash_of_another_token`).
#[tokio::test]
async fn missing_athash() {
    let app = TestApp::start().await;
    app.demo
        .misbehave(Flavour::Oidc, Some(M::NoAccessTokenHash));
    let (response, _) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
}

/// The key changes after the keys were fetched and before the ID token is signed.
#[tokio::test]
async fn signing_key_rotation_just_before_signing() {
    let app = TestApp::start().await;
    ada_signs_in(&app).await;
    let mut browser = app.browser();
    let grace = Decision::allow("grace");
    let callback = app.run_flow_to_callback(&mut browser, OIDC, &grace).await;
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Jwks), 1);
    app.demo.rotate_keys(Flavour::Oidc, false).unwrap();
    assert_eq!(browser.get(&callback).await.location(), APP);
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Jwks), 2);
}

#[tokio::test]
async fn idtoken_sig_rs256() {
    let app = TestApp::start().await;
    for (path, flavour) in [
        ("/auth/google", Flavour::Google),
        ("/auth/microsoft", Flavour::Microsoft),
    ] {
        let mut browser = app.browser();
        let ada = Decision::allow("ada");
        let path = format!("{path}?prompt=consent");
        let response = app.run_flow(&mut browser, &path, &ada).await;
        assert_eq!(response.location(), APP, "{path}");
        assert_eq!(header_of_id_token(&app)["alg"], "RS256", "{flavour:?}");
    }
}

#[tokio::test]
async fn client_secret_basic() {
    let app = TestApp::start().await;
    let (response, _) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
    assert_eq!(app.demo.counter("oidc.client.client_secret_basic"), 1);
    assert_eq!(app.demo.counter("oidc.client.client_secret_post"), 0);
}

/// The keys are those of `jwks_uri`, fetched for the first token and then kept.
#[tokio::test]
async fn discovery_jwks_uri_keys() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let ada = Decision::allow("ada");
    let callback = app.run_flow_to_callback(&mut browser, OIDC, &ada).await;
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Jwks), 0);
    assert_eq!(browser.get(&callback).await.location(), APP);
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Jwks), 1);
    ada_signs_in(&app).await;
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Jwks), 1);
}

/// Only the issuer is configured: every endpoint is the document's.
#[tokio::test]
async fn discovery_openid_config() {
    let app = TestApp::start().await;
    let issuer = app.demo.issuer(Flavour::Oidc);
    let document = Browser::new(issuer)
        .get("/.well-known/openid-configuration")
        .await
        .json();
    let start = app.browser().get(OIDC).await.location();
    let endpoint = document["authorization_endpoint"].as_str().unwrap();
    assert_eq!(start.split('?').next(), Some(endpoint));
    // Ours was the first look at it.
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Discovery), 2);
    let (response, _) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Discovery), 2);
}

/// The demo provider takes an access token from the header and from nowhere else.
#[tokio::test]
async fn userinfo_bearer_header() {
    let app = TestApp::start().await;
    app.demo.misbehave(Flavour::Oidc, Some(M::ClaimsAtUserinfo));
    let (response, mut browser) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Userinfo), 1);
    let (email, name) = signed_in_as(&mut browser).await;
    assert_eq!(
        (email, name),
        ("ada@acme.example".into(), "Ada Lovelace".into())
    );
}

/// What the scopes ask for comes from userinfo, and no more (Core 5.4).
#[tokio::test]
async fn scope_userinfo_claims() {
    for (scopes, named) in [
        ("openid email profile offline_access", true),
        ("openid email offline_access", false),
    ] {
        let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_SCOPES", scopes)]).await;
        app.demo.misbehave(Flavour::Oidc, Some(M::ClaimsAtUserinfo));
        let (response, mut browser) = ada_signs_in(&app).await;
        assert_eq!(response.location(), APP, "{scopes}");
        let (email, name) = signed_in_as(&mut browser).await;
        assert_eq!(email, "ada@acme.example", "{scopes}");
        assert_eq!(name == "Ada Lovelace", named, "{scopes}: {name}");
    }
}

/// Where the person said no, and where all went well, told by a form
/// (`response_mode=form_post`).
#[tokio::test]
async fn form_post_error() {
    let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_RESPONSE_MODE", "form_post")]).await;
    for (decision, status, code) in [
        ("decision=deny", 403, Some("access_denied")),
        ("person=ada", 302, None),
    ] {
        let mut browser = app.browser();
        let start = browser.start_through_page(OIDC).await;
        assert!(start.contains("response_mode=form_post"), "{start}");
        // The provider's page posts a form to the callback, without the cookies of
        // this site.
        let page = Browser::new(String::new())
            .post_form(&start, decision.to_owned())
            .await;
        let action = format!("{PUBLIC}{OIDC}/redirect");
        let form = page.form(&action);
        let mut provider = app.browser();
        provider.headers = vec![
            ("origin", app.demo.base_url().to_owned()),
            ("sec-fetch-site", "cross-site".to_owned()),
        ];
        let path = format!("{OIDC}/redirect");
        let taken = provider.post_form(&path, form.body()).await;
        assert_eq!(taken.status, 303, "{}", taken.body);
        // The GET that follows has them.
        let response = browser.json().get(&taken.location()).await;
        assert_eq!(response.status, status, "{}", response.body);
        if let Some(code) = code {
            assert_eq!(response.code(), code);
        }
    }
    // Nothing of a form but the provider's answer is passed on.
    let odd = "state=a&code=b&returnTo=https://evil.example&state2=c".to_owned();
    let path = format!("{OIDC}/redirect");
    let taken = app.browser().post_form(&path, odd).await;
    assert_eq!(taken.location(), format!("{path}?state=a&code=b"));
    let twice = "state=a&state=b".to_owned();
    assert_eq!(app.browser().post_form(&path, twice).await.status, 400);
}

/// A nonce is sent in the code flow too, a new one each time; that it has to come
/// back is `attacks::id_token::nonce_missing` and `nonce_invalid`.
#[tokio::test]
async fn nonce_unless_code_flow() {
    let app = TestApp::start().await;
    for path in ["/auth/google", "/auth/microsoft", OIDC] {
        let one = app.browser().get(path).await.parameter("nonce").unwrap();
        let other = app.browser().get(path).await.parameter("nonce").unwrap();
        assert_ne!(one, other, "{path}");
        assert_eq!(one.len(), 43, "{path}: 256 bits");
    }
}

#[tokio::test]
async fn userinfo_signed() {
    let app = TestApp::start().await;
    app.demo.misbehave(Flavour::Oidc, Some(M::SignedUserinfo));
    let (response, mut browser) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
    let (email, name) = signed_in_as(&mut browser).await;
    assert_eq!(
        (email, name),
        ("ada@acme.example".into(), "Ada Lovelace".into())
    );
    for how in [M::ForgedUserinfo, M::UserinfoOfAnotherClient] {
        let app = TestApp::start().await;
        app.demo.misbehave(Flavour::Oidc, Some(how));
        let (response, browser) = ada_signs_in(&app).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "identity_not_proven"),
            "{how:?}"
        );
        assert!(browser.session().is_none());
    }
}

/// `oidcc-client-test-3rd-party-init-login`: the tile of a provider's portal.
#[tokio::test]
async fn third_party_init_login() {
    let crm = "https://crm.example";
    let app = TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", crm)]).await;
    let issuer = app.demo.issuer(Flavour::Oidc);
    let asked = format!("iss={issuer}&login_hint=ada%40acme.example&target_link_uri={crm}/deals");
    let by_get = format!("/auth/initiate-login?{asked}");
    for by_form in [false, true] {
        let mut browser = app.browser();
        browser.headers = vec![
            ("sec-fetch-site", "cross-site".to_owned()),
            ("referer", format!("{issuer}/")),
        ];
        let start = if by_form {
            browser
                .post_form("/auth/initiate-login", asked.clone())
                .await
        } else {
            browser.get(&by_get).await
        };
        assert_eq!(
            start.status,
            if by_form { 303 } else { 302 },
            "{}",
            start.body
        );
        let to = start.location();
        assert!(to.starts_with(&format!("{issuer}/authorize?")), "{to}");
        let hint = start.parameter("login_hint");
        assert_eq!(hint.as_deref(), Some("ada@acme.example"));
        let callback = app.decide(&to, &Decision::allow("ada")).await;
        let landed = browser.get(&callback).await;
        assert_eq!(landed.status, 302, "{}", landed.body);
    }
    // Who is signed in goes on at once.
    app.store_grant(&["openid"], false).await;
    let mut ada = app.signed_in("ada").await;
    let google = app.demo.issuer(Flavour::Google);
    app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], false)
        .await;
    let path = format!("/auth/initiate-login?iss={google}&target_link_uri={crm}/deals");
    assert_eq!(ada.get(&path).await.location(), format!("{crm}/deals"));
    // Hints that are no address go on too (Core 4: MUST).
    let path = format!("/auth/initiate-login?iss={issuer}&login_hint=00u1abcd");
    let start = app.browser().get(&path).await;
    assert_eq!(start.parameter("login_hint").as_deref(), Some("00u1abcd"));
}
