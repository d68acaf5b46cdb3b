//! The review page, on which a person chooses what a link must not choose: after an
//! invitation by mail, for a front end on another origin, and after joining by a link.

use auth_svc::random::Randomness;
use auth_svc::store::workspace;
use latchkey_demo_provider::Decision;
use latchkey_proto::events::{CalendarVisibility, Intent, MessageVisibility};

use crate::support::front_end::{CHALLENGE, CRM, redeems, start_with_front_end};
use crate::support::{APP, PUBLIC, TestApp};

// R7
#[tokio::test]
async fn an_invitation_link_joins_and_connects_after_one_button() {
    for personal in [false, true] {
        let app = start_with_front_end().await;
        let (pool, random) = (app.database.pool(), Randomness::default());
        let invitation = if personal {
            let life = std::time::Duration::from_hours(1);
            let email = "linus@globex.example".parse().unwrap();
            let made = workspace::invite::invite(pool, app.workspace, &email, life, &random)
                .await
                .unwrap();
            format!("workspacePersonalInviteToken={}", made.token)
        } else {
            let token = workspace::invite::set_public_invite(pool, app.workspace, true, &random)
                .await
                .unwrap()
                .unwrap();
            format!("workspaceInviteHash={token}")
        };
        let mut linus = app.browser();
        // The link opens the sign-in page, which links to the review page.
        let page = linus.get(&format!("/?{invitation}&returnTo={CRM}/")).await;
        let review = page
            .body
            .split("href=\"")
            .find(|part| part.starts_with("/auth/review/google?"));
        let review = review
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .replace("&#38;", "&");
        let page = linus.get(&review).await;
        for word in ["Join Acme", "crm.example", "Read your mail"] {
            assert!(page.body.contains(word), "{word}: {}", page.body);
        }
        assert_eq!(page.body.contains("linus@globex.example"), personal);
        let form = page
            .form("/auth/review/google/continue")
            .choose("messageVisibility", "SUBJECT");
        let provider = linus.submit(&form).await.refresh_url();
        let callback = app.decide(&provider, &Decision::allow("linus")).await;
        let response = linus.get(&callback).await;
        assert_eq!(response.location(), format!("{CRM}/"));
        let event = app.events().await.pop().unwrap();
        assert_eq!(event.intent(), Intent::Connect);
        let connection = event.connection.unwrap();
        assert_eq!(connection.message_visibility(), MessageVisibility::Subject);
        assert_eq!(
            connection.calendar_visibility(),
            CalendarVisibility::ShareEverything
        );
        assert_eq!(app.row_counts().await.members, 1);
    }
}

// R16
#[tokio::test]
async fn a_link_of_a_front_end_opens_the_review_page_with_its_choices() {
    let app = start_with_front_end().await;
    let mut ada = app.signed_in("ada").await;
    ada.headers = vec![
        ("sec-fetch-site", "cross-site".to_owned()),
        ("referer", format!("{CRM}/settings")),
    ];
    let form = ada
        .form_at(&format!(
            "/auth/google-apis?messageVisibility=METADATA&calendarVisibility=METADATA\
             &redirectLocation={CRM}/settings&loginHint=eve@mail.example"
        ))
        .await;
    ada.headers.clear();
    let field = |name: &str| {
        let found = form.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.clone())
    };
    assert_eq!(field("messageVisibility").as_deref(), Some("METADATA"));
    assert_eq!(field("calendarVisibility").as_deref(), Some("METADATA"));
    let provider = ada.submit(&form).await.refresh_url();
    assert!(
        provider.contains("login_hint=eve%40mail.example"),
        "{provider}"
    );
    let callback = app.decide(&provider, &Decision::allow("eve")).await;
    let response = ada.get(&callback).await;
    assert_eq!(response.full_location(), format!("{CRM}/settings"));
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.intent(), Intent::Connect);
    assert_eq!(
        event.connection.unwrap().message_visibility(),
        MessageVisibility::Metadata
    );
}

// R16
#[tokio::test]
async fn connecting_without_a_session_signs_in_first_and_returns_to_the_review_page() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    let mut ada = app.browser();
    let led = ada
        .get("/auth/google-apis?messageVisibility=SUBJECT")
        .await
        .location();
    let review = led.strip_prefix(PUBLIC).unwrap();
    let away = ada.get(review).await;
    assert_eq!(away.status, 303);
    let sign_in = away.full_location();
    let path = sign_in.replace("/auth/sign-in", "/auth/google") + "&prompt=consent";
    let response = app.run_flow(&mut ada, &path, &Decision::allow("ada")).await;
    let back = response.full_location();
    let page = ada.get(back.strip_prefix(PUBLIC).unwrap()).await;
    let form = page.form("/auth/review/google/continue");
    assert!(
        form.fields
            .contains(&("messageVisibility".to_owned(), "SUBJECT".to_owned())),
        "{form:?}"
    );
}

// R13
#[tokio::test]
async fn joining_on_the_sign_in_page_also_connects_the_account() {
    let app = start_with_front_end().await;
    let mut ada = app.browser();
    let path = format!("/auth/google?returnTo={CRM}/&codeChallenge={CHALLENGE}");
    let response = app.run_flow(&mut ada, &path, &Decision::allow("ada")).await;
    assert!(redeems(&app, &response.handover_code().unwrap()).await);
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.intent(), Intent::SignIn);
    assert!(event.connection.is_some());
    // For a member, a plain link connects too.
    let response = app
        .run_flow_by_link(
            &mut app.browser(),
            &format!("{path}&prompt=consent"),
            &Decision::allow("ada"),
        )
        .await;
    assert!(redeems(&app, &response.handover_code().unwrap()).await);
    assert!(app.events().await.pop().unwrap().connection.is_some());
}

// R13
#[tokio::test]
async fn after_joining_by_a_link_each_next_step_has_its_own_button() {
    let app = start_with_front_end().await;
    // Without a return location the person goes into the application.
    let mut noor = app.browser();
    workspace::domain::approve_domain(
        app.database.pool(),
        app.workspace,
        "berlin.acme.example",
        true,
    )
    .await
    .unwrap();
    let response = app
        .run_flow_by_link(&mut noor, "/auth/google", &Decision::allow("noor"))
        .await;
    let welcome = response.full_location();
    let page = noor.get(welcome.strip_prefix(PUBLIC).unwrap()).await;
    let next_url = noor
        .submit(&page.form("/auth/hand-over"))
        .await
        .refresh_url();
    assert!(next_url.starts_with(&format!("{APP}#code=")), "{next_url}");
    let form = page.form("/auth/review/google/continue");
    let response = noor.submit(&form).await;
    assert_eq!(response.status, 200, "{}", response.body);

    for (person, connects) in [("ada", true), ("grace", false)] {
        let mut browser = app.browser();
        let link = format!("/auth/google?returnTo={CRM}/x&codeChallenge={CHALLENGE}");
        let response = app
            .run_flow_by_link(&mut browser, &link, &Decision::allow(person))
            .await;
        let welcome = response.full_location();
        let page = browser.get(welcome.strip_prefix(PUBLIC).unwrap()).await;
        assert!(page.body.contains("You are now a member"), "{}", page.body);
        assert!(!page.body.contains("role=\"alert\""), "{}", page.body);
        let session = browser.session().unwrap().to_owned();
        if connects {
            let form = page
                .form("/auth/review/google/continue")
                .choose("messageVisibility", "METADATA");
            let provider = browser.submit(&form).await.refresh_url();
            assert!(provider.contains("login_hint=ada%40acme.example"));
            assert!(!provider.contains("select_account"));
            let callback = app.decide(&provider, &Decision::allow(person)).await;
            let mut response = browser.get(&callback).await;
            if response.location().starts_with(app.demo.base_url()) {
                // Without a new or stored refresh token, consent is requested.
                let callback = app
                    .decide(&response.location(), &Decision::allow(person))
                    .await;
                response = browser.get(&callback).await;
            }
            assert_eq!(response.location(), format!("{CRM}/x"));
            assert!(redeems(&app, &response.handover_code().unwrap()).await);
            let event = app.events().await.pop().unwrap();
            assert_eq!(event.intent(), Intent::Connect);
            assert_eq!(
                event.connection.unwrap().message_visibility(),
                MessageVisibility::Metadata
            );
        } else {
            let form = page.form("/auth/hand-over");
            let to = browser.submit(&form).await.refresh_url();
            let (place, code) = to.split_once("#code=").unwrap();
            assert_eq!(place, format!("{CRM}/x"));
            assert!(redeems(&app, code).await);
            assert_eq!(app.events().await.pop().unwrap().connection, None);
        }
        assert_eq!(browser.session(), Some(session.as_str()));
        // Later plain sign-ins connect only a person who agreed.
        app.run_flow_by_link(
            &mut browser,
            "/auth/google?prompt=consent",
            &Decision::allow(person),
        )
        .await;
        let event = app.events().await.pop().unwrap();
        assert_eq!(event.connection.is_some(), connects);
        assert_eq!(event.intent(), Intent::SignIn);
    }
}

// R22
#[tokio::test]
async fn reconnecting_keeps_the_visibility_unless_it_is_chosen() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    app.run_flow(
        &mut ada,
        "/auth/google?reconnect=1&prompt=consent",
        &Decision::allow("ada"),
    )
    .await;
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.intent(), Intent::Connect);
    assert_eq!(
        event.connection.unwrap().message_visibility(),
        MessageVisibility::Unspecified
    );
}
