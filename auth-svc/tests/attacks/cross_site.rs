//! Cross-site request forgery (RP13): other web sites cannot change anything through a person's
//! browser. The requests have the methods and headers that browsers send.

use std::path::Path;
use std::time::Duration;

use auth_svc::random::Randomness;
use auth_svc::store::workspace;
use latchkey_demo_provider::{Decision, Flavour};
use latchkey_proto::account::Account;
use latchkey_testkit::TestCertificates;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::grpc_services::{FakeServices, FakeState};
use crate::support::{Browser, PUBLIC, Response, TestApp, assert_nothing_written};

const FOREIGN: [(&str, &str); 5] = [
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("origin", "https://auth.test.example.evil.example"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
];

/// The body of a legitimate request.
enum Body {
    None,
    Json(Value),
    Form(String),
}

/// A legitimate request that changes something.
struct Change {
    method: Method,
    path: String,
    body: Body,
}

/// Ada, an administrator of Acme with two sessions and a connected account, and everything
/// that her browser can change.
struct Setup {
    app: TestApp,
    ada: Browser,
    fake: FakeState,
    grace: String,
    other_session: String,
    invitation: String,
    _sync: FakeServices,
}

const ACCOUNT: &str = "0199a000-0000-7000-8000-000000000001";

/// The paths that providers and portals call. They may only start or finish a sign-in.
const OF_PROVIDERS: [&str; 5] = [
    "/auth/{provider}/redirect",
    "/auth/oidc/{provider}/redirect",
    "/auth/{provider}-apis/get-access-token",
    "/auth/oidc-apis/{provider}/get-access-token",
    "/auth/initiate-login",
];

/// Addresses that read no cookie: the token in the body, which the provider has signed, decides.
const BY_SIGNED_TOKEN: [&str; 2] = [
    "/auth/{provider}/backchannel-logout",
    "/auth/oidc/{provider}/backchannel-logout",
];

impl Setup {
    async fn create() -> Self {
        let certificates = TestCertificates::create();
        let fake = FakeState::default();
        let sync = FakeServices::start(&certificates, &fake).await;
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let app = TestApp::start_with(&[
            ("SYNC_GRPC_URL", &sync.url()),
            ("TOKEN_GRPC_URL", &sync.url()),
            (
                "GRPC_CLIENT_CERT_FILE",
                &path(&certificates.client.certificate),
            ),
            ("GRPC_CLIENT_KEY_FILE", &path(&certificates.client.key)),
            ("GRPC_CLIENT_CA_FILE", &path(&certificates.authority)),
            // The application is on this origin and gets no code, so that a start by a
            // person who is signed in writes nothing.
            ("APP_URL", &format!("{PUBLIC}/app")),
            ("RATE_LIMIT_PER_ADDRESS", "0"),
        ])
        .await;
        let sign_in = async |person: &str| {
            let mut browser = app.browser();
            let path = "/auth/google?prompt=consent";
            app.run_flow(&mut browser, path, &Decision::allow(person))
                .await;
            browser
        };
        let ada = sign_in("ada").await;
        let event = app.events().await.pop().unwrap();
        app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], false)
            .await;
        let id = async |mut browser: Browser, name: &str| {
            let me = browser.me().await.unwrap();
            me[name].as_str().unwrap().to_owned()
        };
        let other_session = id(sign_in("ada").await, "sessionId").await;
        let grace = id(sign_in("grace").await, "userId").await;
        fake.accounts.lock().unwrap().push(Account {
            id: ACCOUNT.to_owned(),
            workspace_id: event.workspace_id,
            user_id: event.user_id,
            provider: "google".to_owned(),
            handle: "box@acme.example".to_owned(),
            ..Account::default()
        });
        let life = Duration::from_hours(1);
        let email = "linus@globex.example".parse().unwrap();
        let random = Randomness::default();
        let made =
            workspace::invite::invite(app.database.pool(), app.workspace, &email, life, &random)
                .await
                .unwrap();
        Self {
            ada,
            fake,
            grace,
            other_session,
            invitation: made.id.to_string(),
            _sync: sync,
            app,
        }
    }

    /// Returns the operations in the OpenAPI document.
    async fn described(&self) -> Vec<(String, String)> {
        let document = self.app.browser().get("/openapi.json").await.json();
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                operations.push((method.to_uppercase(), path.clone()));
            }
        }
        operations
    }

    /// Returns every described request that changes something. Panics for a new one: add
    /// its legitimate body below.
    async fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (method, pattern) in self.described().await {
            let safe = matches!(method.as_str(), "GET" | "HEAD" | "PARAMETERS");
            let of_providers = OF_PROVIDERS.iter().chain(&BY_SIGNED_TOKEN);
            if !safe && !of_providers.into_iter().any(|known| *known == pattern) {
                let method = method.parse().unwrap();
                let path = self.path_of(&pattern);
                let body = self.legitimate_body(&method, &pattern).await;
                changes.push(Change { method, path, body });
            }
        }
        changes
    }

    fn path_of(&self, pattern: &str) -> String {
        pattern
            .replace("{provider}", "google")
            .replace("{account}", ACCOUNT)
            .replace("{session}", &self.other_session)
            .replace(
                "/auth/sessions/{id}",
                &format!("/auth/sessions/{}", self.other_session),
            )
            .replace("{id}", &self.invitation)
            .replace("{user}", &self.grace)
            .replace("{domain}", "acme.example")
            .replace("{host}", "crm.acme.example")
    }

    async fn legitimate_body(&self, method: &Method, pattern: &str) -> Body {
        let form = async |page: &str, action: &str, mut browser: Browser| {
            Body::Form(browser.get(page).await.form(action).body())
        };
        match (method.as_str(), pattern) {
            ("POST", "/auth/token") => Body::Json(json!({ "grantType": "cookie" })),
            ("POST", "/auth/workspace/domains") => Body::Json(json!({ "domain": "new.example" })),
            ("POST", "/auth/workspace/custom-domain") => {
                Body::Json(json!({ "host": "crm.acme.example" }))
            }
            ("POST", "/auth/workspace/invitations") => {
                Body::Json(json!({ "email": "new@acme.example" }))
            }
            ("PUT", "/auth/workspace/public-invite") => Body::Json(json!({ "enabled": true })),
            ("POST", "/auth/sign-in/{provider}") => {
                let page = "/auth/sign-in";
                form(page, "/auth/sign-in/google", self.app.browser()).await
            }
            ("POST", "/auth/review/{provider}/continue") => {
                let page = "/auth/review/google?purpose=connect";
                let action = "/auth/review/google/continue";
                form(page, action, self.ada.clone()).await
            }
            ("POST", "/auth/hand-over") => {
                let page = "/auth/welcome/google";
                form(page, "/auth/hand-over", self.ada.clone()).await
            }
            ("POST", "/verify-domain") => Body::Form("token=unknown".to_owned()),
            ("POST", "/auth/account/members/{user}/remove") => {
                Body::Form("connections=keep".to_owned())
            }
            (
                "POST",
                "/auth/sign-out"
                | "/auth/sign-out-everywhere"
                | "/auth/workspace/domains/{domain}/verify"
                | "/auth/workspace/custom-domain/{host}/verify"
                | "/auth/account/sessions/{session}/end"
                | "/auth/account/connections/{account}/disconnect"
                | "/auth/account/connections/{account}/start",
            )
            | ("DELETE", _) => Body::None,
            (method, pattern) => panic!("add the legitimate body of {method} {pattern}"),
        }
    }

    /// Sends the request with further headers.
    async fn send(&self, change: &Change, headers: &[(&'static str, String)]) -> Response {
        let mut browser = self.ada.clone().json();
        browser.headers.extend(headers.iter().cloned());
        match &change.body {
            Body::None => browser.send(change.method.clone(), &change.path).await,
            Body::Json(body) => {
                let method = change.method.clone();
                browser.send_json(method, &change.path, body).await
            }
            Body::Form(body) => browser.post_form(&change.path, body.clone()).await,
        }
    }

    /// Runs an attack and checks that it changed nothing here or in the other services.
    async fn assert_unchanged<T>(&self, attack: impl AsyncFnOnce() -> T) -> T {
        let before = self.fake.changes();
        let outcome = assert_nothing_written(&self.app, attack).await;
        assert_eq!(self.fake.changes(), before);
        outcome
    }
}

/// Every described change, sent as a legitimate page sends it, is refused only because of
/// the foreign origin.
#[tokio::test]
async fn another_site_changes_nothing_by_any_described_route() {
    let mut setup = Setup::create().await;
    let changes = setup.changes().await;
    assert!(changes.len() >= 20, "{}", changes.len());
    for change in &changes {
        let what = format!("{} {}", change.method, change.path);
        setup
            .assert_unchanged(async || {
                for (name, value) in FOREIGN {
                    let response = setup.send(change, &[(name, value.to_owned())]).await;
                    let refused = (response.status, response.code());
                    let expected = (403, "cross_site".to_owned());
                    assert_eq!(refused, expected, "{what} {name}: {value}");
                }
            })
            .await;
    }
    assert!(setup.ada.me().await.is_some());
    // A page of this service is not refused. The requests that end the connection and
    // then the session come last.
    let ends = |change: &&Change| {
        change.path.ends_with("/disconnect") || change.path.starts_with("/auth/sign-out")
    };
    let (last, first): (Vec<_>, Vec<_>) = changes.iter().partition(ends);
    let own = [
        ("origin", PUBLIC.to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    for change in first.into_iter().chain(last) {
        let response = setup.send(change, &own).await;
        let what = format!("{} {}", change.method, change.path);
        assert!(
            !response.body.contains("cross_site"),
            "{what}: {}",
            response.body
        );
        assert!(
            response.status < 400 || [404, 409].contains(&response.status),
            "{what}: {} {}",
            response.status,
            response.body
        );
    }
    assert_eq!(setup.fake.changes(), 2, "disconnected and started");
    assert!(setup.ada.me().await.is_none());
}

/// A request of another site to a provider's path can only start or finish a sign-in.
#[tokio::test]
async fn another_site_changes_nothing_by_the_addresses_of_providers() {
    let setup = Setup::create().await;
    for pattern in OF_PROVIDERS {
        let path = setup.path_of(pattern);
        for (name, value) in FOREIGN {
            let mut browser = setup.ada.clone();
            browser.headers = vec![(name, value.to_owned())];
            let body = format!(
                "iss={}&state=x&code=x&returnTo=https://evil.example/",
                setup.app.demo.issuer(Flavour::Google)
            );
            let response = setup
                .assert_unchanged(async || browser.post_form(&path, body).await)
                .await;
            assert_eq!(response.status, 303, "{path}: {}", response.body);
            let to = response.location();
            assert!(
                !to.contains("evil") && (to.starts_with(&path) || to.starts_with(PUBLIC)),
                "{path}: {to}"
            );
        }
    }
}

/// A link to any described path, with any parameters, changes nothing.
#[tokio::test]
async fn a_link_changes_nothing() {
    let mut setup = Setup::create().await;
    let token = workspace::invite::set_public_invite(
        setup.app.database.pool(),
        setup.app.workspace,
        true,
        &Randomness::default(),
    )
    .await
    .unwrap()
    .unwrap();
    let query = format!(
        "connections=keep&enabled=true&purpose=connect&reconnect=1&workspaceInviteHash={token}\
         &messageVisibility=SUBJECT&token={token}&seen=x&email=new@acme.example&domain=new.example"
    );
    let mut patterns: Vec<String> = setup
        .described()
        .await
        .into_iter()
        .map(|(_, p)| p)
        .collect();
    patterns.dedup();
    assert!(patterns.len() >= 40, "{}", patterns.len());
    for pattern in patterns {
        let path = setup.path_of(&pattern);
        setup
            .assert_unchanged(async || {
                for link in [path.clone(), format!("{path}?{query}")] {
                    for method in [Method::GET, Method::HEAD] {
                        let mut browser = setup.ada.clone();
                        browser.headers = vec![
                            ("sec-fetch-site", "cross-site".to_owned()),
                            ("sec-fetch-mode", "navigate".to_owned()),
                        ];
                        browser.send(method, &link).await;
                    }
                }
            })
            .await;
    }
    assert!(setup.ada.me().await.is_some());
}

#[tokio::test]
async fn no_foreign_origin_may_read_an_answer() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    browser.headers = vec![("origin", "https://evil.example".to_owned())];
    for path in ["/auth/me", "/", "/openapi.json"] {
        let response = browser.get(path).await;
        for name in [
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ] {
            assert!(!response.headers.contains_key(name), "{path} {name}");
        }
        assert_eq!(
            response.headers["cross-origin-resource-policy"],
            "same-origin"
        );
    }
}
