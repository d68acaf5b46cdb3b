//! Account takeover (RP9, RP10), such as "nOAuth": issuer and subject identify a person, never the
//! mail address, and only an address that the provider has verified admits to a workspace.

use latchkey_demo_provider::{ACME_TENANT, Decision, Flavour, GLOBEX_TENANT, Misbehaviour as M};
use serde_json::{Map, Value, json};

use crate::support::{APP, PUBLIC, TestApp, assert_nothing_written, assert_refused, refusal};

fn claims(claims: Value) -> Map<String, Value> {
    serde_json::from_value(claims).unwrap()
}

async fn attempt(app: &TestApp, path: &str, person: &str) -> (u16, String) {
    let response = assert_nothing_written(app, async || {
        let mut browser = app.browser().json();
        let response = app
            .run_flow(&mut browser, path, &Decision::allow(person))
            .await;
        assert_ne!(
            response.status, 302,
            "{person} came in: {:?}",
            response.headers
        );
        response
    })
    .await;
    refusal(&response)
}

/// The administrator of a foreign tenant gives a user the victim's address.
#[tokio::test]
async fn noauth_a_foreign_tenant_with_the_victims_address_does_not_reach_the_account() {
    let app = TestApp::start().await;
    let mut ada = app.browser();
    app.run_flow(&mut ada, "/auth/microsoft", &Decision::allow("ada"))
        .await;
    let victim = ada.me().await.unwrap()["userId"].clone();
    for chosen in [
        json!({"email": "ada@acme.example", "xms_edov": null}),
        json!({"email": "ada@acme.example", "xms_edov": false}),
        json!({"email": "ada@acme.example", "xms_edov": "0"}),
        json!({"email": "ada@acme.example", "xms_edov": null, "email_verified": true}),
        json!({"email": "ada@acme.example", "xms_edov": null, "verified_primary_email": ["ada@acme.example"]}),
        json!({"email": "attacker@globex.example", "preferred_username": "ada@acme.example", "xms_edov": null}),
        json!({"email": null, "preferred_username": "ada@acme.example", "upn": "ada@acme.example", "xms_edov": true}),
    ] {
        app.demo.set_claims("linus", claims(chosen.clone()));
        let (status, _) = attempt(&app, "/auth/microsoft", "linus").await;
        assert!((400..500).contains(&status), "{chosen}: {status}");
    }
    // Even with a verified address it is another person.
    app.demo.set_claims(
        "linus",
        claims(json!({"email": "ada@acme.example", "xms_edov": true})),
    );
    let mut other = app.browser();
    app.run_flow(&mut other, "/auth/microsoft", &Decision::allow("linus"))
        .await;
    assert_ne!(other.me().await.unwrap()["userId"], victim);
    assert_eq!(ada.me().await.unwrap()["userId"], victim);
}

/// `tid` and `iss` have to name the same tenant, also with `common`.
#[tokio::test]
async fn noauth_the_issuer_is_that_of_the_tenant() {
    assert_refused(
        &[Flavour::Microsoft],
        M::TenantAndIssuerDiffer,
        400,
        "identity_not_proven",
    )
    .await;
}

/// The same `oid` in another tenant is another person.
#[tokio::test]
async fn noauth_the_object_id_of_another_tenant_is_another_person() {
    let app = TestApp::start().await;
    let mut ada = app.browser();
    app.run_flow(&mut ada, "/auth/microsoft", &Decision::allow("ada"))
        .await;
    app.demo.misbehave(Flavour::Microsoft, Some(M::OtherTenant));
    let mut other = app.browser();
    app.run_flow(&mut other, "/auth/microsoft", &Decision::allow("ada"))
        .await;
    assert_ne!(
        other.me().await.map(|me| me["userId"].clone()),
        ada.me().await.map(|me| me["userId"].clone()),
    );
}

/// R2
#[tokio::test]
async fn a_tenant_that_is_not_listed_is_refused() {
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_ALLOWED_TENANTS", ACME_TENANT)]).await;
    // Even if the tenant says that the address is verified.
    app.demo.set_claims(
        "linus",
        claims(json!({"email": "linus@acme.example", "xms_edov": true})),
    );
    for person in ["linus", "eve", "mallory"] {
        let refusal = attempt(&app, "/auth/microsoft", person).await;
        assert_eq!(refusal, (403, "tenant_not_allowed".to_owned()), "{person}");
    }
    let response = app
        .run_flow(
            &mut app.browser(),
            "/auth/microsoft",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(response.location(), APP);
}

/// A single-tenant deployment accepts no token of another tenant.
#[tokio::test]
async fn a_single_tenant_takes_no_token_of_another() {
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_TENANT_ID", GLOBEX_TENANT)]).await;
    app.workspace("globex", &["globex.example"]).await;
    app.demo.misbehave(Flavour::Microsoft, Some(M::OtherTenant));
    let refusal = attempt(&app, "/auth/microsoft", "linus").await;
    assert_eq!(refusal, (403, "tenant_not_allowed".to_owned()));
}

/// The names of guests come from their home tenant.
#[tokio::test]
async fn a_single_tenant_vouches_for_no_guest() {
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_TENANT_ID", ACME_TENANT)]).await;
    for chosen in [
        json!({"preferred_username": "eve_evil.example#EXT#@acme.example"}),
        json!({"preferred_username": "ada@acme.example",
               "idp": format!("https://sts.windows.net/{GLOBEX_TENANT}/")}),
        json!({"preferred_username": "ada@acme.example", "idp": "live.com"}),
        json!({"preferred_username": "ada@acme.example", "acct": 1}),
        json!({"preferred_username": "ada@globex.example", "email": "ada@acme.example"}),
    ] {
        let mut all = claims(json!({"email": null, "xms_edov": null}));
        all.extend(claims(chosen.clone()));
        app.demo.set_claims("ada", all);
        let (status, code) = attempt(&app, "/auth/microsoft", "ada").await;
        assert_eq!(status, 403, "{chosen}: {code}");
    }
}

/// With several workspaces a provider may belong to one customer, who can give any address
/// to their people and call it verified.
#[tokio::test]
async fn a_customers_own_provider_opens_no_other_workspace() {
    let app = TestApp::start_with(&[
        ("IS_MULTIWORKSPACE_ENABLED", "true"),
        ("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "globex.example"),
    ])
    .await;
    let globex = app.workspace("globex", &["globex.example"]).await;
    let victim = json!({"email": "ada@acme.example", "email_verified": true});
    app.demo.set_claims("linus", claims(victim.clone()));
    let acme = app.workspace;
    for (path, expected) in [
        (
            "/auth/oidc/demo?workspaceSubdomain=acme".to_owned(),
            "address_not_verified",
        ),
        (
            format!("/auth/oidc/demo?workspaceId={acme}"),
            "address_not_verified",
        ),
        ("/auth/oidc/demo".to_owned(), "workspace_not_named"),
    ] {
        let refusal = attempt(&app, &path, "linus").await;
        assert_eq!(refusal, (403, expected.to_owned()), "{path}");
    }
    // People of the customer's own domain are admitted.
    app.demo.set_claims("linus", serde_json::Map::new());
    let path = "/auth/oidc/demo?workspaceSubdomain=globex&prompt=consent";
    let mut linus = app.browser();
    app.run_flow(&mut linus, path, &Decision::allow("linus"))
        .await;
    let me = linus.me().await.unwrap();
    assert_eq!(me["workspaceId"], globex.to_string());
    // If a member takes the victim's address later, it does not count as verified.
    app.demo.set_claims("linus", claims(victim));
    let mut again = app.browser();
    app.run_flow(&mut again, path, &Decision::allow("linus"))
        .await;
    let event = app.events().await.pop().unwrap();
    let identity = event.identity.unwrap();
    assert_eq!(identity.handle, "ada@acme.example");
    assert_eq!(identity.handle_verified, Some(false));
}

/// Google needs both `email_verified` and `hd`. `hd` names the organisation's primary
/// domain; an address on a secondary domain counts too.
#[tokio::test]
async fn google_a_private_account_with_a_company_address_is_refused() {
    let app = TestApp::start().await;
    for chosen in [
        json!({"hd": null}),
        json!({"hd": ""}),
        json!({"hd": ["acme.example"]}),
        json!({"hd": "acme.example", "email_verified": false}),
        json!({"hd": "acme.example", "email_verified": "false"}),
        json!({"hd": "acme.example", "email_verified": null}),
        json!({"hd": "acme.example", "email": null}),
    ] {
        app.demo.set_claims("ada", claims(chosen.clone()));
        let (status, code) = attempt(&app, "/auth/google", "ada").await;
        assert!((400..500).contains(&status), "{chosen}: {status} {code}");
    }
}

/// Domains match exactly.
#[tokio::test]
async fn a_domain_that_looks_like_a_listed_one_is_another() {
    let app = TestApp::start().await;
    for address in [
        "ada@evil-acme.example",
        "ada@acme.example.evil.example",
        "ada@sub.acme.example",
        "ada@acme.example@evil.example",
        "\"ada@acme.example\"@evil.example",
        "ada@\u{430}cme.example",
        "ada@acme.example.",
        "ada@evil.example\u{0}@acme.example",
        "ada@evil.example,ada@acme.example",
        "ada@evil.example <ada@acme.example>",
        "ada@evil.example\u{ff20}acme.example",
        "ada@evil.example\u{ff0c}ada@acme.example",
    ] {
        app.demo.set_claims(
            "eve",
            claims(json!({"email": address, "email_verified": true})),
        );
        let (status, code) = attempt(&app, "/auth/oidc/demo", "eve").await;
        assert!((400..500).contains(&status), "{address}: {status} {code}");
    }
}

/// A second provider with the same verified address creates another user.
#[tokio::test]
async fn a_second_provider_with_the_same_address_never_merges() {
    let app = TestApp::start().await;
    let mut users = std::collections::BTreeSet::new();
    for path in ["/auth/google", "/auth/microsoft", "/auth/oidc/demo"] {
        let mut browser = app.browser();
        let path = format!("{path}?prompt=consent");
        app.run_flow(&mut browser, &path, &Decision::allow("ada"))
            .await;
        let me = browser.me().await.unwrap();
        assert_eq!(me["email"], "ada@acme.example");
        users.insert(me["userId"].as_str().unwrap().to_owned());
    }
    assert_eq!(users.len(), 3);
}

/// Even with a session, signing in with another provider is a separate sign-in.
#[tokio::test]
async fn signing_in_with_a_second_provider_links_nothing() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let first = browser.me().await.unwrap()["userId"].clone();
    app.run_flow(
        &mut browser,
        "/auth/microsoft?prompt=consent",
        &Decision::allow("ada"),
    )
    .await;
    assert_ne!(browser.me().await.unwrap()["userId"], first);
    let written = app.row_counts().await;
    assert_eq!((written.users, written.identities), (2, 2));
}

/// Linking needs the session that started it. The linked account does not become another
/// way to sign in as that person.
#[tokio::test]
async fn linking_a_second_provider_needs_a_signed_in_session() {
    let app = TestApp::start().await;
    for path in [
        "/auth/google-apis",
        "/auth/microsoft-apis",
        "/auth/oidc-apis/demo",
    ] {
        let mut browser = app.browser();
        let response = assert_nothing_written(&app, async || {
            let page = browser.get(path).await.location();
            browser.get(page.strip_prefix(PUBLIC).unwrap()).await
        })
        .await;
        assert_eq!(response.status, 303, "{path}");
        let sign_in = response.full_location();
        assert!(sign_in.starts_with("/auth/sign-in?"), "{path}: {sign_in}");
        assert_eq!(browser.flows(), 0);
    }
    let mut browser = app.signed_in("ada").await;
    let ada = browser.me().await.unwrap()["userId"].clone();
    let response = app
        .run_flow(
            &mut browser,
            "/auth/microsoft-apis",
            &Decision::allow("grace"),
        )
        .await;
    assert_eq!(response.location(), APP);
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.user_id, ada);
    // A sign-in with the linked account is a sign-in as its own user.
    let mut grace = app.browser();
    app.run_flow(
        &mut grace,
        "/auth/microsoft?prompt=consent",
        &Decision::allow("grace"),
    )
    .await;
    assert_ne!(grace.me().await.unwrap()["userId"], ada);
}
