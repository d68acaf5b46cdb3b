use std::time::Duration;

use auth_svc::random::Randomness;
use auth_svc::store::workspace;
use latchkey_demo_provider::{Decision, Flavour};
use serde_json::json;

use crate::support::{RowCounts, TestApp};

async fn code_of(app: &TestApp, path: &str, person: &str) -> String {
    let mut browser = app.browser().json();
    app.run_flow(&mut browser, path, &Decision::allow(person))
        .await
        .code()
}

// R7
#[tokio::test]
async fn a_refusal_names_every_domain_that_is_allowed_and_writes_nothing() {
    let app = TestApp::start().await;
    workspace::domain::approve_domain(app.database.pool(), app.workspace, "acme.co", true)
        .await
        .unwrap();
    let mut browser = app.browser();
    let response = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("linus"))
        .await;
    assert_eq!(response.status, 403);
    assert!(
        response.body.contains("acme.co or acme.example"),
        "{}",
        response.body
    );
    assert!(
        response.body.contains("href=\"/auth/google?workspaceId="),
        "the page has no link for the same workspace"
    );
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
    // The match is exact: a subdomain is another domain.
    assert_eq!(
        code_of(&app, "/auth/google", "noor").await,
        "domain_not_allowed"
    );
}

// R7 R25
#[tokio::test]
async fn the_allowlist_accepts_json_commas_and_array_notation() {
    let app = TestApp::start().await;
    for value in [
        "[\"globex.example\", \"acme.example\"]",
        "globex.example, acme.example",
        "{globex.example,acme.example}",
    ] {
        // A deployment with one workspace does not need to name it.
        sqlx::query(
            "INSERT INTO \"workspaceMetadata\" (key, value)
             VALUES ('approvedAccessDomains', $1)",
        )
        .bind(value)
        .execute(app.database.pool())
        .await
        .unwrap();
        let domains: Vec<(String,)> =
            sqlx::query_as("SELECT domain FROM auth.approved_access_domain ORDER BY domain")
                .fetch_all(app.database.pool())
                .await
                .unwrap();
        assert_eq!(
            domains.into_iter().map(|(d,)| d).collect::<Vec<_>>(),
            ["acme.example", "globex.example"],
            "{value}"
        );
    }
    app.signed_in("linus").await;
    app.signed_in("ada").await;
}

// R7
#[tokio::test]
async fn the_deployments_list_limits_the_lists_of_workspaces() {
    let app = TestApp::start_with(&[("AUTH_ALLOWED_DOMAINS", "globex.example,acme.co")]).await;
    assert_eq!(
        code_of(&app, "/auth/google", "ada").await,
        "domain_not_allowed"
    );
    workspace::domain::approve_domain(app.database.pool(), app.workspace, "globex.example", true)
        .await
        .unwrap();
    app.signed_in("linus").await;
}

// R7, WP4, WP11
#[tokio::test]
async fn an_unverified_address_is_refused_and_writes_nothing() {
    let app = TestApp::start().await;
    for path in ["/auth/google", "/auth/microsoft", "/auth/oidc/demo"] {
        assert_eq!(
            code_of(&app, path, "mallory").await,
            "address_not_verified",
            "{path}"
        );
    }
    // Google verified the address, but the account belongs to no organisation (no `hd`).
    app.demo
        .set_claims("ada", json!({"hd": null}).as_object().unwrap().clone());
    assert_eq!(
        code_of(&app, "/auth/google", "ada").await,
        "address_not_verified"
    );
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

// R7
#[tokio::test]
async fn a_public_link_works_only_while_it_is_on() {
    let app = TestApp::start().await;
    let pool = app.database.pool();
    let random = Randomness::default();
    let token = workspace::invite::set_public_invite(pool, app.workspace, true, &random)
        .await
        .unwrap()
        .unwrap();
    let path = format!("/auth/google?workspaceInviteHash={token}");
    let mut browser = app.browser();
    assert_eq!(
        app.run_flow(&mut browser, &path, &Decision::allow("linus"))
            .await
            .status,
        302
    );
    let mut late = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut late, &path, &Decision::allow("eve"))
        .await;
    workspace::invite::set_public_invite(pool, app.workspace, false, &random)
        .await
        .unwrap();
    // The link is turned off while one person is at the provider and before another starts.
    assert_eq!(late.get(&callback).await.code(), "invitation_refused");
    assert!(
        app.body_without_form(&path)
            .await
            .contains("does not work any more")
    );
    // A member needs no invitation.
    app.signed_in("linus").await;
}

// R7
#[tokio::test]
async fn a_personal_invitation_is_valid_once_for_its_address_until_it_expires() {
    let app = TestApp::start().await;
    let invite = async |email: &str, life: u64| {
        let (pool, random) = (app.database.pool(), Randomness::default());
        let life = Duration::from_secs(life);
        let email = email.parse().unwrap();
        let made = workspace::invite::invite(pool, app.workspace, &email, life, &random)
            .await
            .unwrap();
        format!("/auth/google?workspacePersonalInviteToken={}", made.token)
    };
    let for_linus = invite("Linus@globex.example", 60).await;
    assert_eq!(code_of(&app, &for_linus, "eve").await, "invitation_refused");
    let mut browser = app.browser();
    assert_eq!(
        app.run_flow(&mut browser, &for_linus, &Decision::allow("linus"))
            .await
            .status,
        302
    );
    let joined: (String,) = sqlx::query_as("SELECT joined_by FROM auth.workspace_member")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    assert_eq!(joined.0, "PERSONAL_INVITE");

    let expired = invite("noor@berlin.acme.example", 0).await;
    assert!(
        app.body_without_form(&expired)
            .await
            .contains("has expired")
    );
    // Linus was removed, and the used link does not admit him again.
    sqlx::query("DELETE FROM auth.workspace_member")
        .execute(app.database.pool())
        .await
        .unwrap();
    assert!(
        app.body_without_form(&for_linus)
            .await
            .contains("was used already")
    );
}

// R4 R7
#[tokio::test]
async fn among_several_workspaces_the_request_the_membership_or_the_domain_decides() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    let globex = app.workspace("globex", &["globex.example"]).await;
    let both = app
        .workspace("both", &["acme.example", "globex.example"])
        .await;
    let workspace_of = async |path: &str, person: &str| {
        let mut browser = app.browser();
        let response = app
            .run_flow(&mut browser, path, &Decision::allow(person))
            .await;
        let me = browser
            .me()
            .await
            .unwrap_or_else(|| panic!("{}", response.body));
        (
            me["workspaceId"].as_str().unwrap().to_owned(),
            response.location(),
        )
    };
    assert_eq!(
        code_of(&app, "/auth/google", "ada").await,
        "workspace_not_named"
    );
    assert_eq!(
        code_of(&app, "/auth/google?workspaceSubdomain=globex", "ada").await,
        "domain_not_allowed"
    );
    assert_eq!(
        code_of(&app, "/auth/google?workspaceSubdomain=nowhere", "ada").await,
        "workspace_unknown"
    );
    let by_id = workspace_of(
        &format!("/auth/google?workspaceId={both}&prompt=consent"),
        "ada",
    )
    .await;
    assert_eq!(
        by_id,
        (
            both.to_string(),
            "https://both.app.test.example/".to_owned()
        )
    );
    let by_host = workspace_of(
        "/auth/google?workspaceSubdomain=globex&prompt=consent",
        "linus",
    )
    .await;
    assert_eq!(
        by_host,
        (
            globex.to_string(),
            "https://globex.app.test.example/".to_owned()
        )
    );
    let by_membership = workspace_of("/auth/google?prompt=consent", "linus").await;
    assert_eq!(by_membership.0, globex.to_string());
}

// R4 R7: what a sign-in that a third party initiates may say.
#[tokio::test]
async fn a_portal_may_name_the_workspace() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    app.workspace("globex", &["globex.example"]).await;
    let both = app
        .workspace("both", &["acme.example", "globex.example"])
        .await;
    let portal = format!(
        "/auth/initiate-login?iss={}",
        app.demo.issuer(Flavour::Google)
    );
    for (named, person) in [
        (format!("workspaceId={both}"), "ada"),
        ("workspaceSubdomain=both".to_owned(), "grace"),
        ("workspace=both".to_owned(), "linus"),
    ] {
        let mut browser = app.browser();
        let link = format!("{portal}&{named}");
        let answer = app
            .run_flow_by_link(&mut browser, &link, &Decision::allow(person))
            .await;
        let me = browser
            .me()
            .await
            .unwrap_or_else(|| panic!("{named}: {}", answer.body));
        assert_eq!(me["workspaceId"], both.to_string(), "{named}");
    }
}

fn claims(claims: &serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    claims.as_object().unwrap().clone()
}

// R7
#[tokio::test]
async fn a_refusal_names_the_address_and_the_reason() {
    let app = TestApp::start_with(&[
        ("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example"),
        (
            "AUTH_MICROSOFT_ALLOWED_TENANTS",
            latchkey_demo_provider::ACME_TENANT,
        ),
    ])
    .await;
    let google = "/auth/google";
    let microsoft = "/auth/microsoft";
    let other = "/auth/oidc/demo";
    for (path, person, chosen, code, says) in [
        (
            google,
            "linus",
            json!({}),
            "domain_not_allowed",
            &[
                "linus@globex.example",
                "Addresses of acme.example are allowed",
            ][..],
        ),
        (
            google,
            "ada",
            json!({"hd": null}),
            "address_not_verified",
            &[
                "ada@acme.example",
                "does not say that the account belongs to an organisation",
            ],
        ),
        (
            google,
            "mallory",
            json!({}),
            "address_not_verified",
            &[
                "mallory@acme.example",
                "does not say that it has verified the address",
            ],
        ),
        (
            other,
            "linus",
            json!({}),
            "address_not_verified",
            &[
                "linus@globex.example",
                "only addresses of acme.example count",
            ],
        ),
        (
            microsoft,
            "linus",
            json!({}),
            "tenant_not_allowed",
            &["linus@globex.example", "belongs to another one"],
        ),
        (
            other,
            "eve",
            json!({"email": "eve@b\u{fc}cher.example"}),
            "address_not_verified",
            &["eve@b\u{fc}cher.example (eve@xn--bcher-kva.example)"],
        ),
    ] {
        app.demo.set_claims(person, claims(&chosen));
        let mut browser = app.browser().json();
        let response = app
            .run_flow(&mut browser, path, &Decision::allow(person))
            .await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, code),
            "{person} {chosen}"
        );
        for text in says {
            assert!(response.body.contains(text), "{text}: {}", response.body);
        }
        assert!(response.body.contains("Nothing was changed."));
    }
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

// R7
#[tokio::test]
async fn a_refusal_without_a_named_workspace_shows_the_address() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    app.workspace("globex", &[]).await;
    let mut browser = app.browser().json();
    let response = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("linus"))
        .await;
    assert_eq!(response.code(), "workspace_not_named");
    assert!(
        response.body.contains("linus@globex.example"),
        "{}",
        response.body
    );
}

// R3 R7: as with authentik, AD FS and directory users of Okta.
#[tokio::test]
async fn a_trusted_provider_admits_only_addresses_of_its_own_domains() {
    let trust = [
        ("AUTH_OIDC_DEMO_EMAIL_DOMAINS", "acme.example"),
        ("AUTH_OIDC_DEMO_TRUST_EMAIL", "true"),
    ];
    let app = TestApp::start_with(&trust).await;
    app.demo
        .set_claims("eve", claims(&json!({"email_verified": true})));
    assert_eq!(
        code_of(&app, "/auth/oidc/demo?prompt=consent", "eve").await,
        "address_not_verified"
    );
    let mut browser = app.browser();
    let path = "/auth/oidc/demo?prompt=consent";
    let response = app
        .run_flow(&mut browser, path, &Decision::allow("mallory"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.identity.unwrap().handle_verified, Some(true));
}

// R3 R7: Okta returns `email_verified` only at userinfo by default.
#[tokio::test]
async fn a_claim_that_the_id_token_lacks_is_fetched_from_userinfo() {
    let app = TestApp::start().await;
    app.demo
        .set_claims("ada", claims(&json!({"email_verified": null})));
    let mut browser = app.browser();
    let path = "/auth/oidc/demo?prompt=consent";
    let response = app
        .run_flow(&mut browser, path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
}

// R3
#[tokio::test]
async fn a_userinfo_outage_is_reported_as_such_and_does_not_stop_members() {
    use latchkey_demo_provider::{Endpoint, Fault};

    let app = TestApp::start().await;
    let down = || Fault::on(Endpoint::Userinfo).answering(503, "").times(2);
    app.demo
        .set_claims("ada", claims(&json!({"email_verified": null})));
    app.demo.inject(down());
    assert_eq!(
        code_of(&app, "/auth/oidc/demo?prompt=consent", "ada").await,
        "provider_unavailable"
    );
    app.demo.forget_faults();
    let path = "/auth/oidc/demo?prompt=consent";
    let mut browser = app.browser();
    app.run_flow(&mut browser, path, &Decision::allow("ada"))
        .await;
    assert!(browser.me().await.is_some());
    app.demo.inject(down());
    let mut again = app.browser();
    let response = app
        .run_flow(&mut again, path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
}

// R2 R7
#[tokio::test]
async fn users_of_a_single_tenant_need_no_xms_edov() {
    let tenant = latchkey_demo_provider::ACME_TENANT;
    let app = TestApp::start_with(&[("AUTH_MICROSOFT_TENANT_ID", tenant)]).await;
    app.demo
        .set_claims("ada", claims(&json!({"xms_edov": null, "email": null})));
    let mut browser = app.browser();
    let path = "/auth/microsoft?prompt=consent";
    let response = app
        .run_flow(&mut browser, path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
    assert_eq!(browser.me().await.unwrap()["email"], "ada@acme.example");
}

// R7 R25
#[tokio::test]
async fn an_international_domain_matches_in_unicode_and_in_ascii() {
    for (listed, address) in [
        ("B\u{fc}cher.example", "ada@xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "ada@b\u{fc}cher.example"),
    ] {
        let app = TestApp::start_with(&[("AUTH_ALLOWED_DOMAINS", listed)]).await;
        sqlx::query(
            "INSERT INTO \"workspaceMetadata\" (key, value)
             VALUES ('approvedAccessDomains', $1)",
        )
        .bind(listed)
        .execute(app.database.pool())
        .await
        .unwrap();
        let chosen = json!({"email": address, "email_verified": true});
        app.demo.set_claims("ada", claims(&chosen));
        let mut browser = app.browser();
        let path = "/auth/oidc/demo?prompt=consent";
        let response = app
            .run_flow(&mut browser, path, &Decision::allow("ada"))
            .await;
        assert_eq!(response.status, 302, "{listed}: {}", response.body);
        let overview = browser.get("/auth/account").await;
        assert!(overview.body.contains("ada@b\u{fc}cher.example"));
    }
}
