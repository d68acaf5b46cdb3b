use latchkey_demo_provider::Decision;
use latchkey_proto::events::{CalendarVisibility, Intent, MessageVisibility};

use crate::support::{APP, PUBLIC, TestApp};

// R16
#[tokio::test]
async fn a_signed_in_person_connects_a_second_mailbox_with_their_choices() {
    for path in [
        "/auth/google-apis",
        "/auth/microsoft-apis",
        "/auth/oidc-apis/demo",
    ] {
        let app = TestApp::start().await;
        let mut browser = app.signed_in("ada").await;
        let user = browser.me().await.unwrap()["userId"].clone();
        let session = browser.session().unwrap().to_owned();
        let start = format!(
            "{path}?redirectLocation=/settings/accounts&messageVisibility=SUBJECT\
             &calendarVisibility=METADATA&loginHint=eve@mail.example"
        );
        let response = app
            .run_flow(&mut browser, &start, &Decision::allow("eve"))
            .await;
        assert_eq!(
            response.location(),
            format!("{APP}settings/accounts"),
            "{}",
            response.body
        );
        let event = app.events().await.pop().unwrap();
        assert_eq!(event.user_id, user);
        assert_eq!(event.workspace_id, app.workspace.to_string());
        assert_eq!(event.intent(), Intent::Connect);
        assert_eq!(event.identity.unwrap().handle, "eve@mail.example");
        let connection = event.connection.unwrap();
        // A provider without mail and calendar offers no choice.
        let chosen = if path.contains("oidc") {
            (
                MessageVisibility::Unspecified,
                CalendarVisibility::Unspecified,
            )
        } else {
            (MessageVisibility::Subject, CalendarVisibility::Metadata)
        };
        assert_eq!(
            (
                connection.message_visibility(),
                connection.calendar_visibility()
            ),
            chosen
        );
        assert_eq!(
            browser.session(),
            Some(session.as_str()),
            "the session must not change"
        );
        // The connected mailbox does not become an identity of Ada.
        let written = app.row_counts().await;
        assert_eq!(
            (written.users, written.identities, written.sessions),
            (1, 1, 1)
        );
    }
}

// R8 R16
#[tokio::test]
async fn who_connects_by_a_link_of_the_application_comes_back_into_it() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    let settings = format!("{APP}settings");
    for (link, person, lands) in [
        ("/auth/google-apis", "eve", APP),
        (
            "/auth/google-apis?loginHint=grace@acme.example",
            "grace",
            APP,
        ),
        (
            "/auth/google-apis?loginHint=linus@globex.example&returnTo=/settings",
            "linus",
            &settings,
        ),
    ] {
        let answer = app.run_flow(&mut ada, link, &Decision::allow(person)).await;
        assert_eq!(answer.location(), lands, "{link}");
    }
    // The pages' own button leads to their list.
    let page = ada.get("/auth/review/microsoft?purpose=connect").await;
    let form = page.form("/auth/review/microsoft/continue");
    let provider = ada.submit(&form).await.refresh_url();
    let callback = app.decide(&provider, &Decision::allow("eve")).await;
    let list = format!("{PUBLIC}/auth/account/connections");
    assert_eq!(ada.get(&callback).await.location(), list);
}

// R16
#[tokio::test]
async fn connecting_needs_a_session() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let page = browser.get("/auth/google-apis").await.location();
    let response = browser.get(page.strip_prefix(PUBLIC).unwrap()).await;
    assert_eq!(response.status, 303);
    let sign_in = response.full_location();
    assert!(sign_in.starts_with("/auth/sign-in?returnTo="), "{sign_in}");
}

// R16, WP3
#[tokio::test]
async fn a_connect_link_of_one_person_does_not_connect_the_mailbox_of_another() {
    let app = TestApp::start().await;
    let mut attacker = app.signed_in("ada").await;
    let link = attacker.start_through_page("/auth/google-apis").await;
    let before = app.row_counts().await;

    // The victim, signed in or not, follows the link and agrees.
    let signed_in = app.signed_in("grace").await;
    let after_grace = app.row_counts().await;
    assert_eq!(after_grace.events, before.events + 1);
    for victim in [app.browser(), signed_in] {
        let callback = app.decide(&link, &Decision::allow("grace")).await;
        let response = victim.json().get(&callback).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "flow_unknown")
        );
    }
    assert_eq!(app.row_counts().await, after_grace);
}

// R16, RP5
#[tokio::test]
async fn a_connection_finishes_only_in_the_session_that_started_it() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google-apis", &Decision::allow("ada"))
        .await;
    let grace = app.signed_in("grace").await;
    let before = app.row_counts().await;
    // The browser has the flow cookie, but another person or nobody is signed in.
    let session = grace.session().unwrap().to_owned();
    for replaced in [Some(session), None] {
        let mut browser = browser.clone().json();
        browser.cookies.shift_remove("__Host-latchkey-session");
        if let Some(session) = replaced {
            browser
                .cookies
                .insert("__Host-latchkey-session".to_owned(), session);
        }
        let response = browser.get(&callback).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, "session_changed")
        );
    }
    assert_eq!(app.row_counts().await, before);
    // A new sign-in of the same person is another session too.
    app.run_flow(
        &mut browser,
        "/auth/google?prompt=consent",
        &Decision::allow("ada"),
    )
    .await;
    let response = browser.json().get(&callback).await;
    assert_eq!(response.code(), "session_changed");
}

// R16
#[tokio::test]
async fn a_sign_in_cannot_be_finished_as_a_connection_nor_the_other_way_round() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    let connect = app
        .run_flow_to_callback(&mut browser, "/auth/google-apis", &Decision::allow("eve"))
        .await;
    let as_sign_in = connect.replace(
        "/auth/google-apis/get-access-token",
        "/auth/google/redirect",
    );
    assert_ne!(connect, as_sign_in);
    let response = browser.clone().json().get(&as_sign_in).await;
    assert_eq!(response.code(), "flow_unknown");
    assert_eq!(app.row_counts().await.events, 1);
}
