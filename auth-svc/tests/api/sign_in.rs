use latchkey_demo_provider::{Decision, Flavour, Misbehaviour};
use latchkey_domain::{GrantBinding, ScopeSet};
use latchkey_proto::events::{Access, Intent};
use serde_json::json;

use crate::helpers::{APP, PUBLIC, TestApp, Written};

// R1
#[tokio::test]
async fn google_sign_in_sends_to_the_provider_with_state_nonce_and_pkce() {
    let app = TestApp::start().await;
    let answer = app.browser().get("/auth/google").await;
    assert_eq!(answer.status, 302);
    let get = |name| answer.parameter(name).unwrap_or_default();
    assert!(
        answer
            .location()
            .starts_with(&format!("{}/google/authorize", app.demo.base_url()))
    );
    assert_eq!(get("client_id"), app.demo.client_id());
    assert_eq!(
        get("redirect_uri"),
        format!("{PUBLIC}/auth/google/redirect")
    );
    assert_eq!(get("response_type"), "code");
    assert_eq!(get("code_challenge_method"), "S256");
    for (name, length) in [("state", 43), ("nonce", 43), ("code_challenge", 43)] {
        assert_eq!(get(name).len(), length, "{name}");
    }
    assert!(
        answer.parameter("hd").is_none(),
        "R7: nothing shuts a listed domain out"
    );
    // As an operator looks: `curl -I`.
    let head = app
        .browser()
        .send(reqwest::Method::HEAD, "/auth/google")
        .await;
    assert!(head.location().starts_with(app.demo.base_url()));
    assert_eq!(
        app.written().await,
        Written::NOTHING,
        "the start writes nothing"
    );
}

// R1 R2 R3 R5
#[tokio::test]
async fn each_provider_signs_a_person_in_and_tells_the_rest_of_the_house() {
    for (path, provider, flavour) in [
        ("/auth/google", "google", Flavour::Google),
        ("/auth/microsoft", "microsoft", Flavour::Microsoft),
        ("/auth/oidc/demo", "demo", Flavour::Oidc),
    ] {
        let app = TestApp::start().await;
        let mut browser = app.browser();
        let answer = app.round(&mut browser, path, &Decision::allow("ada")).await;
        assert_eq!(
            (answer.status, answer.location()),
            (302, APP.to_owned()),
            "{path}"
        );
        assert_eq!(app.written().await, Written::ONCE, "{path}");

        let event = app.events().await.pop().unwrap();
        let identity = event.identity.clone().unwrap();
        assert_eq!(identity.provider, provider);
        assert_eq!(identity.handle, "ada@acme.example");
        assert_eq!(event.intent(), Intent::SignIn);
        assert_eq!(event.workspace_id, app.workspace.to_string());

        // The grant opens for its owner, and is the provider's.
        let grant = event.connection.clone().unwrap().grant.unwrap();
        let binding = GrantBinding {
            workspace: app.workspace,
            user: event.user_id.parse().unwrap(),
            provider: identity.provider.parse().unwrap(),
            issuer: identity.issuer.parse().unwrap(),
            subject: identity.subject.parse().unwrap(),
        };
        let access = app
            .opening
            .open_access_token(&grant.sealed_access_token, &binding)
            .unwrap();
        let refresh = app
            .opening
            .open_refresh_token(&grant.sealed_refresh_token, &binding)
            .unwrap();
        let issued = app.demo.issued();
        let left = |kind: &str, token: &str| {
            issued
                .iter()
                .any(|i| i.kind == kind && i.token == token && i.flavour == flavour)
        };
        assert!(left("access_token", access.expose()), "{path}");
        assert!(left("refresh_token", refresh.expose()), "{path}");
        let expires_at = grant.access_token_expires_at.unwrap().seconds;
        let authenticated_at = event.authenticated_at.unwrap().seconds;
        assert!(
            (3590..=3610).contains(&(expires_at - authenticated_at)),
            "replaced system's weak point 1"
        );
        assert_eq!(browser.me().await.unwrap()["email"], "ada@acme.example");
    }
}

// R5 R23, replaced system's weak point 6
#[tokio::test]
async fn the_granted_scopes_are_told_and_not_the_requested_ones() {
    let app = TestApp::start().await;
    let decision =
        Decision::allow("ada").without("https://www.googleapis.com/auth/calendar.events");
    app.round(&mut app.browser(), "/auth/google", &decision)
        .await;
    let connection = app.events().await.pop().unwrap().connection.unwrap();
    assert_eq!(connection.messages(), Access::Granted);
    assert_eq!(connection.calendar(), Access::Denied);
    let granted: ScopeSet = connection
        .grant
        .unwrap()
        .granted_scopes
        .into_iter()
        .collect();
    assert!(
        granted.iter().all(|scope| !scope.contains("calendar")),
        "{granted}"
    );
}

// PEERS, relying-party check 9; replaced system's weak point 4
#[tokio::test]
async fn identity_is_issuer_and_subject_and_never_the_address() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    // Another person shows ada's address.
    let claims = json!({"email": "ada@acme.example"})
        .as_object()
        .unwrap()
        .clone();
    app.demo.set_claims("grace", claims);
    app.signed_in("grace").await;
    // The same address at another provider is another person too.
    app.round(
        &mut app.browser(),
        "/auth/microsoft",
        &Decision::allow("ada"),
    )
    .await;
    let written = app.written().await;
    assert_eq!((written.users, written.identities), (3, 3));
    // And the same person with a new address is the same one.
    let claims = json!({"email": "countess@acme.example"})
        .as_object()
        .unwrap()
        .clone();
    app.demo.set_claims("ada", claims);
    app.signed_in("ada").await;
    assert_eq!(app.written().await.users, 3);
}

// PEERS, relying-party check 12
#[tokio::test]
async fn a_sign_in_makes_a_new_session_and_ends_the_browsers_old_one() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let old = browser.clone();
    let first = browser.me().await.unwrap()["sessionId"].clone();
    let answer = app
        .round(
            &mut browser,
            "/auth/google?prompt=consent",
            &Decision::allow("ada"),
        )
        .await;
    let cookie = answer
        .set_cookies()
        .into_iter()
        .find(|c| c.contains("session"))
        .unwrap();
    for attribute in ["__Host-", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_ne!(browser.me().await.unwrap()["sessionId"], first);
    assert_eq!(old.clone().me().await, None);
    let (stored,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM auth.session WHERE secret_hash = $1")
            .bind(browser.session().unwrap().as_bytes())
            .fetch_one(app.database.pool())
            .await
            .unwrap();
    assert_eq!(stored, 0, "the database has the hash, not the secret");
}

// R21
#[tokio::test]
async fn two_first_sign_ins_at_once_make_one_person() {
    let app = TestApp::start().await;
    let mut tabs = Vec::new();
    for _ in 0..6 {
        let mut browser = app.browser();
        let callback = app
            .to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
            .await;
        tabs.push(tokio::spawn(
            async move { browser.get(&callback).await.status },
        ));
    }
    for tab in tabs {
        assert_eq!(tab.await.unwrap(), 302);
    }
    let written = app.written().await;
    assert_eq!(
        (written.users, written.identities, written.members),
        (1, 1, 1)
    );
}

// R13
#[tokio::test]
async fn where_automatic_connection_is_off_the_event_carries_no_grant() {
    let app = TestApp::start_with(&[("AUTH_GOOGLE_AUTO_CONNECT", "false")]).await;
    app.signed_in("ada").await;
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.connection, None);
    assert_eq!(event.identity.unwrap().handle, "ada@acme.example");
}

// R8
#[tokio::test]
async fn a_person_who_is_signed_in_is_not_sent_round_again() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let again = browser.get("/auth/google?returnTo=/inbox").await;
    assert_eq!(again.location(), format!("{APP}inbox"));
    // With a provider that they do not sign in with, they are.
    let other = browser.get("/auth/microsoft").await;
    assert!(other.location().starts_with(app.demo.base_url()));
}

// R22
#[tokio::test]
async fn a_person_whose_grant_is_dead_goes_round_to_repair_it() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], true)
        .await;
    let again = browser.get("/auth/google").await;
    assert!(
        again.location().starts_with(app.demo.base_url()),
        "{}",
        again.location()
    );
}

// R8, R27: erased is not dead. Four of four starts went round, each with
// another session.
#[tokio::test]
async fn a_mailbox_that_was_disconnected_sends_nobody_round() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], false)
        .await;
    let session = browser.session().unwrap().to_owned();
    for change in [
        // The mailbox that the person signs in with, alive and dead when it was
        // disconnected, and a second one.
        "erased_at = now(), sealed_refresh_token = NULL",
        "auth_failed_at = now()",
        "subject = 'second'",
    ] {
        app.change_grant(change).await;
        let again = browser.get("/auth/google?returnTo=/inbox").await;
        assert_eq!(again.location(), format!("{APP}inbox"), "{change}");
    }
    assert_eq!(browser.session(), Some(session.as_str()));
    assert_eq!(app.written().await.sessions, 1);
}

// R8: a sign-in cannot repair it, so it asks for none.
#[tokio::test]
async fn a_dead_grant_that_a_sign_in_does_not_repair_sends_nobody_round() {
    for (variable, change) in [
        ("AUTH_GOOGLE_AUTO_CONNECT=true", "subject = 'second'"),
        ("AUTH_GOOGLE_AUTO_CONNECT=false", "auth_failed_at = now()"),
    ] {
        let app = TestApp::start_with(&[variable.split_once('=').unwrap()]).await;
        let mut browser = app.signed_in("ada").await;
        app.store_grant(&["https://www.googleapis.com/auth/gmail.readonly"], true)
            .await;
        app.change_grant(change).await;
        let again = browser.get("/auth/google").await;
        assert_eq!(again.location(), APP, "{variable} {change}");
    }
}

// PEERS, relying-party check 16; replaced system's weak point 12
#[tokio::test]
async fn no_token_and_no_session_ever_stands_in_an_address_or_a_page() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let answer = app
        .round(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let home = browser.get("/").await;
    let me = browser.get("/auth/me").await;
    let session = browser.session().unwrap().to_owned();
    assert!(!answer.location().contains(&session));
    for answer in [&answer, &home, &me] {
        for issued in app.demo.issued() {
            assert!(
                !answer.everything().contains(&issued.token),
                "{}",
                issued.kind
            );
        }
    }
    assert!(!home.body.contains(&session) && !me.body.contains(&session));
}

// R13: nothing would ever renew it.
#[tokio::test]
async fn a_provider_that_only_identifies_makes_no_connection() {
    let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_SCOPES", "openid email profile")]).await;
    identifies_only(&app).await;
    assert_eq!(app.written().await, Written::ONCE);
}

/// A sign-in succeeds and connects nothing.
async fn identifies_only(app: &TestApp) {
    let mut browser = app.browser();
    let answer = app
        .round(&mut browser, "/auth/oidc/demo", &Decision::allow("ada"))
        .await;
    assert_eq!(answer.location(), APP);
    let event = app.events().await.pop().unwrap();
    assert!(event.connection.is_none() && event.identity.is_some());
}

// R13: Keycloak gives a refresh token to everybody. What was asked for decides.
#[tokio::test]
async fn a_provider_for_sign_in_alone_connects_nothing_whatever_it_gives() {
    let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_SCOPES", "openid email profile")]).await;
    app.demo.change(|settings| {
        settings
            .token_answer
            .insert("refresh_token".to_owned(), "given to everybody".into());
    });
    identifies_only(&app).await;
}

// R5: of the grant, its client and its end are known from the beginning; large tokens too.
#[tokio::test]
async fn the_event_tells_the_client_and_the_end_of_the_grant() {
    let app = TestApp::start().await;
    app.demo.change(|settings| {
        let answer = &mut settings.token_answer;
        answer.insert("refresh_token_expires_in".to_owned(), 7200.into());
        answer.insert("access_token".to_owned(), "a".repeat(200 * 1024).into());
    });
    app.demo
        .misbehave(Flavour::Google, Some(Misbehaviour::NoAccessTokenHash));
    app.signed_in("ada").await;
    let event = app.events().await.pop().unwrap();
    let grant = event.connection.unwrap().grant.unwrap();
    assert_eq!(grant.client_id, app.demo.client_id());
    let access = grant.access_token_expires_at.unwrap().seconds;
    let refresh = grant.refresh_token_expires_at.unwrap().seconds;
    assert_eq!(refresh - access, 3600);
    assert!(grant.sealed_access_token.len() > 200 * 1024);
}

// R4
#[tokio::test]
async fn the_provider_is_asked_to_speak_the_persons_language() {
    let app = TestApp::start().await;
    let language = async |query: &str| {
        let answer = app.browser().get(&format!("/auth/google{query}")).await;
        answer.parameter("ui_locales")
    };
    assert_eq!(language("?locale=de-AT").await.as_deref(), Some("de-AT"));
    assert_eq!(language("?locale=fr_FR").await.as_deref(), Some("fr-FR"));
    assert_eq!(language("").await, None);
    let mut browser = app.browser().json();
    let wrong = browser.get("/auth/google?locale=de%26prompt%3Dnone").await;
    assert_eq!(wrong.code(), "invalid_parameter");
}
