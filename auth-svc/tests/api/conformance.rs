//! Modules of the OpenID Foundation's conformance suite for clients
//! (`oidcc-client-test-…`), each under its name, against the demo provider. Modules that
//! are attacks are in `attacks/id_token.rs` and `attacks/key_sets.rs`; modules about
//! refreshing are in `crates/providers/tests/demo/conformance.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::{Decision, Endpoint, Flavour, Misbehaviour as M};
use serde_json::Value;

use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

const OIDC: &str = "/auth/oidc/demo";

/// Signs Ada in at the OpenID provider.
async fn ada_signs_in(app: &TestApp) -> (Response, Browser) {
    let mut browser = app.browser().json();
    let response = app
        .run_flow(&mut browser, OIDC, &Decision::allow("ada"))
        .await;
    (response, browser)
}

/// Returns the address and the name of the person who is signed in.
async fn signed_in_as(browser: &mut Browser) -> (Value, Value) {
    let me = browser.me().await.unwrap();
    (me["email"].clone(), me["displayName"].clone())
}

/// Returns the header of the ID token that the provider issued last.
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

/// `at_hash` is optional in the code flow (Core 3.1.3.6). A wrong one is refused
/// (`attacks::id_token::at_hash_of_another_token`).
#[tokio::test]
async fn missing_athash() {
    let app = TestApp::start().await;
    app.demo
        .misbehave(Flavour::Oidc, Some(M::NoAccessTokenHash));
    let (response, _) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
}

/// The provider changes its key after its keys were fetched and before it signs the ID token.
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

/// The keys come from `jwks_uri`; they are fetched for the first token and then cached.
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

/// Only the issuer is configured. Every endpoint comes from the discovery document.
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
    // The first of the two requests is the test's own.
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Discovery), 2);
    let (response, _) = ada_signs_in(&app).await;
    assert_eq!(response.location(), APP);
    assert_eq!(app.demo.count(Flavour::Oidc, Endpoint::Discovery), 2);
}

/// The demo provider accepts an access token only in the `Authorization` header.
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

/// Userinfo returns only the claims of the requested scopes (Core 5.4).
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

/// A refusal and a success that arrive as a form (`response_mode=form_post`).
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
        // The provider's page posts a form to the callback without this site's cookies.
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
        // The GET request that follows has the cookies.
        let response = browser.json().get(&taken.location()).await;
        assert_eq!(response.status, status, "{}", response.body);
        if let Some(code) = code {
            assert_eq!(response.code(), code);
        }
    }
    // Only the parameters of the provider's response are passed on.
    let odd = "state=a&code=b&returnTo=https://evil.example&state2=c".to_owned();
    let path = format!("{OIDC}/redirect");
    let taken = app.browser().post_form(&path, odd).await;
    assert_eq!(taken.location(), format!("{path}?state=a&code=b"));
    let twice = "state=a&state=b".to_owned();
    assert_eq!(app.browser().post_form(&path, twice).await.status, 400);
}

/// A new nonce is sent in the code flow too. `attacks::id_token::nonce_missing` and
/// `nonce_invalid` show that the ID token has to contain it.
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

/// `oidcc-client-test-3rd-party-init-login`: a sign-in that starts at a provider's portal.
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
        let response = browser.get(&callback).await;
        assert_eq!(response.status, 302, "{}", response.body);
    }
    // A person who is signed in already is redirected at once.
    app.store_grant(&["openid"], false).await;
    let mut ada = app.signed_in("ada").await;
    let google = app.demo.issuer(Flavour::Google);
    app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], false)
        .await;
    let path = format!("/auth/initiate-login?iss={google}&target_link_uri={crm}/deals");
    assert_eq!(ada.get(&path).await.location(), format!("{crm}/deals"));
    // A hint that is not a mail address is passed on too (Core 4: MUST).
    let path = format!("/auth/initiate-login?iss={issuer}&login_hint=00u1abcd");
    let start = app.browser().get(&path).await;
    assert_eq!(start.parameter("login_hint").as_deref(), Some("00u1abcd"));
}
