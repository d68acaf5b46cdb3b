//! The behaviour of the three flavours over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::{
    ACME_TENANT, Config, Decision, DemoProvider, Endpoint, Fault, Flavour,
};
use serde_json::{Value, json};
use url::Url;

mod tls;

const VERIFIER: &str = "a-verifier-of-more-than-forty-three-characters-xyz";
const CALLBACK: &str = "http://localhost/callback";
const CALENDAR: &str = "https://www.googleapis.com/auth/calendar.events";

struct Client {
    demo: DemoProvider,
    http: reqwest::Client,
    authorize: String,
    token: String,
}

async fn client(flavour: Flavour) -> Client {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    client_of(Config::default(), http, flavour).await
}

async fn client_of(config: Config, http: reqwest::Client, flavour: Flavour) -> Client {
    let demo = DemoProvider::start(config).await.unwrap();
    let issuer = demo.issuer(flavour);
    let (authorize, token) = match flavour {
        Flavour::Microsoft => (
            format!("{issuer}/common/oauth2/v2.0/authorize"),
            format!("{issuer}/common/oauth2/v2.0/token"),
        ),
        _ => (format!("{issuer}/authorize"), format!("{issuer}/token")),
    };
    Client {
        demo,
        http,
        authorize,
        token,
    }
}

impl Client {
    fn authorize_url(&self, more: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
        let scope = format!("openid email profile offline_access {CALENDAR}");
        let mut url = Url::parse(&self.authorize).unwrap();
        url.query_pairs_mut()
            .append_pair("client_id", self.demo.client_id())
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("response_type", "code")
            .append_pair("scope", &scope)
            .append_pair("state", "the-state")
            .append_pair("nonce", "the-nonce")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(more);
        url.to_string()
    }

    async fn callback(&self, more: &[(&str, &str)], decision: &Decision) -> Url {
        self.demo
            .decide(&self.authorize_url(more), decision)
            .await
            .unwrap()
    }

    async fn post(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut all = vec![
            ("client_id", self.demo.client_id()),
            ("client_secret", self.demo.client_secret()),
        ];
        all.extend_from_slice(fields);
        let answer = self.http.post(&self.token).form(&all).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn exchange(&self, code: &str) -> (u16, Value) {
        self.post(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn sign_in(&self, more: &[(&str, &str)]) -> Value {
        let callback = self.callback(more, &Decision::allow("ada")).await;
        let (status, body) = self.exchange(&parameter(&callback, "code").unwrap()).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn refresh(&self, token: &Value) -> (u16, Value) {
        let token = token.as_str().unwrap();
        self.post(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn claims(body: &Value) -> Value {
    let token = body["id_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn google_gives_a_refresh_token_only_at_the_first_consent() {
    let client = client(Flavour::Google).await;
    let offline = ("access_type", "offline");
    assert!(client.sign_in(&[offline]).await["refresh_token"].is_string());
    assert!(client.sign_in(&[offline]).await["refresh_token"].is_null());
    let again = client.sign_in(&[offline, ("prompt", "consent")]).await;
    assert!(again["refresh_token"].is_string());
    assert_eq!(claims(&again)["hd"], "acme.example");
    assert_eq!(claims(&again)["nonce"], "the-nonce");
    // No rotation.
    let (status, refreshed) = client.refresh(&again["refresh_token"]).await;
    assert_eq!((status, &refreshed["refresh_token"]), (200, &Value::Null));
    assert_eq!(client.demo.refreshes(Flavour::Google), 1);
}

#[tokio::test]
async fn microsoft_rotates_and_the_old_token_still_works() {
    let client = client(Flavour::Microsoft).await;
    let first = client.sign_in(&[]).await;
    assert_eq!(claims(&first)["tid"], ACME_TENANT);
    assert!(
        claims(&first)["iss"]
            .as_str()
            .unwrap()
            .contains(ACME_TENANT)
    );
    let (_, second) = client.refresh(&first["refresh_token"]).await;
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(client.refresh(&first["refresh_token"]).await.0, 200);
    client.demo.revoke("ada", None);
    let (status, body) = client.refresh(&second["refresh_token"]).await;
    assert_eq!((status, &body["error_codes"]), (400, &json!([50173])));
}

#[tokio::test]
async fn the_strict_provider_ends_the_family_at_reuse() {
    let client = client(Flavour::Oidc).await;
    let first = client.sign_in(&[]).await;
    let (_, second) = client.refresh(&first["refresh_token"]).await;
    assert_eq!(client.refresh(&first["refresh_token"]).await.0, 400);
    assert_eq!(client.refresh(&second["refresh_token"]).await.0, 400);
}

// R37
#[tokio::test]
async fn google_ends_every_token_of_a_person_with_one_and_the_strict_provider_one_family() {
    for (flavour, revoked) in [
        (Flavour::Google, "refresh_token"),
        (Flavour::Google, "access_token"),
        (Flavour::Oidc, "refresh_token"),
    ] {
        let client = client(flavour).await;
        let grant = |person| client.demo.grant(flavour, person, &["openid"]).unwrap();
        let (access, first) = grant("ada");
        let (_, second) = grant("ada");
        let (_, others) = grant("eve");
        let token = if revoked == "access_token" {
            &access
        } else {
            &first
        };
        let url = client.token.replace("/token", "/revoke");
        let answer = client
            .http
            .post(url)
            .form(&[
                ("client_id", client.demo.client_id()),
                ("client_secret", client.demo.client_secret()),
                ("token", token),
            ])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let works = |token: &str| client.demo.refresh_token_works(token);
        assert!(!works(&first), "{flavour:?} {revoked}");
        assert_eq!(works(&second), flavour == Flavour::Oidc, "{revoked}");
        assert!(works(&others));
    }
}

#[tokio::test]
async fn a_scope_that_was_deselected_is_not_granted() {
    let client = client(Flavour::Google).await;
    let decision = Decision::allow("ada").without(CALENDAR);
    let callback = client.callback(&[], &decision).await;
    assert_eq!(
        parameter(&callback, "iss"),
        Some(client.demo.issuer(Flavour::Google))
    );
    let (_, body) = client
        .exchange(&parameter(&callback, "code").unwrap())
        .await;
    assert!(!body["scope"].as_str().unwrap().contains("calendar"));
}

#[tokio::test]
async fn a_person_can_deny_consent() {
    let client = client(Flavour::Google).await;
    let callback = client.callback(&[], &Decision::deny()).await;
    assert_eq!(parameter(&callback, "error").unwrap(), "access_denied");
    assert_eq!(parameter(&callback, "state").unwrap(), "the-state");
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_needs_its_verifier() {
    let client = client(Flavour::Oidc).await;
    let callback = client.callback(&[], &Decision::allow("ada")).await;
    let code = parameter(&callback, "code").unwrap();
    let wrong = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", "another-verifier"),
    ];
    assert_eq!(client.post(&wrong).await.0, 400);
    let (status, body) = client.exchange(&code).await;
    assert_eq!(status, 200);
    assert_eq!(client.exchange(&code).await.0, 400);
    // The tokens that were issued for the code are revoked.
    assert_eq!(client.refresh(&body["refresh_token"]).await.0, 400);
}

#[tokio::test]
async fn faults_come_in_order_and_a_reset_after_work_rotates() {
    let client = client(Flavour::Oidc).await;
    let first = client.sign_in(&[]).await;
    client
        .demo
        .inject(Fault::on(Endpoint::Token).answering(503, r#"{"error":"busy"}"#));
    client
        .demo
        .inject(Fault::on(Endpoint::Token).after_work().reset());
    assert_eq!(client.refresh(&first["refresh_token"]).await.0, 503);
    let lost = client
        .http
        .post(&client.token)
        .form(&[
            ("client_id", client.demo.client_id()),
            ("client_secret", client.demo.client_secret()),
            ("grant_type", "refresh_token"),
            ("refresh_token", first["refresh_token"].as_str().unwrap()),
        ])
        .send()
        .await;
    assert!(lost.is_err());
    let first = first["refresh_token"].as_str().unwrap();
    assert!(!client.demo.refresh_token_works(first));
}

#[tokio::test]
async fn an_answer_is_held_until_it_is_released() {
    let client = client(Flavour::Oidc).await;
    let first = client.sign_in(&[]).await;
    let token = &first["refresh_token"];
    // Nobody waits for this one any more.
    drop(client.demo.hold_answer(Flavour::Oidc, "refresh_token"));
    let held = client.demo.hold_answer(Flavour::Oidc, "refresh_token");
    let releasing = async {
        let release = held.await.unwrap();
        assert!(!client.demo.refresh_token_works(token.as_str().unwrap()));
        release.send(()).unwrap();
    };
    let ((status, _), ()) = tokio::join!(client.refresh(token), releasing);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_page_lists_people_and_scopes() {
    let client = client(Flavour::Google).await;
    let url = client.authorize_url(&[("hd", "acme.example")]);
    let page = client
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("ada@acme.example") && page.contains(CALENDAR));
    assert!(!page.contains("linus@globex.example"));
}

#[tokio::test]
async fn the_control_interface_works_over_http() {
    let client = client(Flavour::Google).await;
    let control = format!("{}/control", client.demo.base_url());
    let send = |request: reqwest::RequestBuilder| async {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.text().await.unwrap()
    };
    let http = &client.http;
    let body = json!({"access_token_lifetime_s": 5});
    send(http.patch(format!("{control}/settings")).json(&body)).await;
    let body = json!({"flavour": "google", "misbehaviour": "no_id_token"});
    send(http.put(format!("{control}/misbehaviour")).json(&body)).await;
    let body = json!({"email_verified": false});
    send(http.put(format!("{control}/people/ada/claims")).json(&body)).await;
    let body = client.sign_in(&[]).await;
    assert_eq!(
        (&body["expires_in"], &body["id_token"]),
        (&json!(5), &Value::Null)
    );
    let issued = send(http.get(format!("{control}/issued"))).await;
    assert!(issued.contains(body["access_token"].as_str().unwrap()));
    let counters = send(http.get(format!("{control}/counters"))).await;
    assert!(counters.contains(r#""google.token.authorization_code":1"#));
    let body = json!({"flavour": "google", "keep_old": true});
    send(http.post(format!("{control}/rotate-keys")).json(&body)).await;
    let keys = send(http.get(format!("{}/jwks", client.demo.issuer(Flavour::Google)))).await;
    let keys: Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    let environment = send(http.get(format!("{control}/environment"))).await;
    assert!(environment.contains("AUTH_MICROSOFT_AUTHORITY"));
}
