//! A link on another site can only start a plain sign-in. It accepts no invitation,
//! connects no account, changes no visibility, and hands no session to the site that made
//! the link.

use auth_svc::random::Randomness;
use auth_svc::store::workspace::{self, custom_host};
use latchkey_demo_provider::Decision;
use latchkey_domain::WorkspaceId;
use latchkey_proto::events::{CalendarVisibility, Intent, MessageVisibility};
use reqwest::Method;

use crate::support::{APP, Browser, PUBLIC, Response, TestApp, assert_nothing_written};

const MULTI: (&str, &str) = ("IS_MULTIWORKSPACE_ENABLED", "true");
const EVIL_HOST: &str = "crm.evil.example";
const CRM: &str = "https://crm.example";
/// RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Returns a browser whose next request comes from a link on another site.
fn sent_by_another_site(browser: &Browser) -> Browser {
    let mut browser = browser.clone();
    browser.headers = vec![
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-mode", "navigate".to_owned()),
        ("referer", "https://evil.example/".to_owned()),
    ];
    browser
}

/// Returns the path of the review page that a response redirects to.
fn review_page_path(response: &Response) -> String {
    assert_eq!(response.status, 302, "{}", response.body);
    let page = response.location();
    let page = page
        .strip_prefix(PUBLIC)
        .unwrap_or_else(|| panic!("redirected to {page}"));
    assert!(page.starts_with("/auth/review/"), "{page}");
    page.to_owned()
}

async fn public_link(app: &TestApp, workspace: WorkspaceId) -> String {
    let pool = app.database.pool();
    let token = workspace::invite::set_public_invite(pool, workspace, true, &Randomness::default())
        .await
        .unwrap()
        .unwrap();
    format!("workspaceInviteHash={token}")
}

async fn personal_link(app: &TestApp, workspace: WorkspaceId, email: &str) -> String {
    let life = std::time::Duration::from_hours(1);
    let (pool, random) = (app.database.pool(), Randomness::default());
    let made = workspace::invite::invite(pool, workspace, &email.parse().unwrap(), life, &random)
        .await
        .unwrap();
    format!("workspacePersonalInviteToken={}", made.token)
}

/// Starts with the workspaces Acme, where Ada is signed in, and Evil, which has its own
/// host.
async fn acme_and_evil() -> (TestApp, WorkspaceId, Browser) {
    let app = TestApp::start_with(&[MULTI]).await;
    let evil = app.workspace("evil", &[]).await;
    custom_host::set(app.database.pool(), evil, Some(EVIL_HOST))
        .await
        .unwrap();
    // The running service reads its hosts from the database after a moment.
    let there = format!("/auth/review/google?returnTo=https://{EVIL_HOST}/");
    while app.browser().get(&there).await.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut ada = app.browser();
    let path = "/auth/microsoft?workspaceSubdomain=acme&prompt=consent";
    let response = app.run_flow(&mut ada, path, &Decision::allow("ada")).await;
    assert_eq!(response.location(), "https://acme.app.test.example/");
    (app, evil, ada)
}

#[tokio::test]
async fn a_link_with_an_invitation_puts_nobody_into_a_strangers_workspace() {
    let (app, evil, ada) = acme_and_evil().await;
    let public = public_link(&app, evil).await;
    let personal = personal_link(&app, evil, "ada@acme.example").await;
    let back = format!("returnTo=https://{EVIL_HOST}/&codeChallenge={CHALLENGE}");
    for invitation in [public, personal] {
        for provider in ["google", "microsoft", "oidc/demo"] {
            let link = format!("/auth/{provider}?{invitation}&{back}&workspaceId={evil}");
            for mut browser in [ada.clone(), sent_by_another_site(&ada), app.browser()] {
                let page = assert_nothing_written(&app, async || {
                    let page = review_page_path(&browser.get(&link).await);
                    let page = browser.get(&page).await;
                    assert_eq!(page.status, 200);
                    page
                })
                .await;
                // The page names the workspace and does not redirect.
                assert!(page.body.contains("Join evil"), "{}", page.body);
                assert!(page.body.contains(EVIL_HOST));
                assert!(!page.headers.contains_key("refresh"));
                assert_eq!(browser.flows(), ada.flows());
            }
        }
    }
}

#[tokio::test]
async fn a_link_with_an_invitation_joins_nobody_where_there_is_one_workspace() {
    let app = TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await;
    let public = public_link(&app, app.workspace).await;
    let personal = personal_link(&app, app.workspace, "linus@globex.example").await;
    for invitation in [public, personal] {
        let mut linus = app.browser();
        let link = format!("/auth/google?{invitation}&returnTo={CRM}/&codeChallenge={CHALLENGE}");
        assert_nothing_written(&app, async || review_page_path(&linus.get(&link).await)).await;
        assert!(linus.session().is_none());
    }
}

#[tokio::test]
async fn another_site_does_not_decide_who_sees_a_mailbox() {
    let app = TestApp::start().await;
    let mut ada = app.browser();
    let chosen = "/auth/microsoft?messageVisibility=METADATA&calendarVisibility=METADATA";
    app.run_flow(&mut ada, chosen, &Decision::allow("ada"))
        .await;
    let session = ada.session().unwrap().to_owned();
    for link in [
        "/auth/microsoft?reconnect=1&messageVisibility=SHARE_EVERYTHING\
         &calendarVisibility=SHARE_EVERYTHING",
        "/auth/microsoft?messageVisibility=SHARE_EVERYTHING",
        "/auth/microsoft?prompt=consent&calendarVisibility=SHARE_EVERYTHING",
        "/auth/microsoft?reconnect=1",
        "/auth/microsoft-apis?messageVisibility=SHARE_EVERYTHING",
        "/auth/microsoft-apis",
    ] {
        for mut browser in [ada.clone(), sent_by_another_site(&ada)] {
            assert_nothing_written(&app, async || review_page_path(&browser.get(link).await)).await;
            assert_eq!(browser.session(), Some(session.as_str()), "{link}");
        }
    }
    // A link can only start a plain sign-in, which chooses nothing.
    let link = "/auth/microsoft?prompt=consent";
    app.run_flow_by_link(&mut ada, link, &Decision::allow("ada"))
        .await;
    let event = app.events().await.pop().unwrap();
    assert_eq!(event.intent(), Intent::SignIn);
    let connection = event.connection.unwrap();
    assert_eq!(
        connection.message_visibility(),
        MessageVisibility::Unspecified
    );
    assert_eq!(
        connection.calendar_visibility(),
        CalendarVisibility::Unspecified
    );
}

#[tokio::test]
async fn the_button_of_the_review_page_cannot_be_bypassed() {
    let app = TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await;
    let ada = app.signed_in("ada").await;
    for query in [
        "",
        "?purpose=connect",
        "?purpose=connect&messageVisibility=SHARE_EVERYTHING",
    ] {
        let detour = format!("/auth/review/google/continue{query}");
        for method in [Method::GET, Method::HEAD] {
            let mut browser = sent_by_another_site(&ada);
            let response =
                assert_nothing_written(&app, async || browser.send(method.clone(), &detour).await)
                    .await;
            assert!((400..500).contains(&response.status), "{}", response.status);
            assert!(!response.headers.contains_key("refresh"));
            assert_eq!(browser.flows(), 0);
        }
    }
}

#[tokio::test]
async fn a_form_that_another_site_sends_chooses_nothing() {
    let (app, _, ada) = acme_and_evil().await;
    let mut person = ada.clone();
    let forms = [
        person.form_at("/auth/microsoft-apis").await,
        person
            .form_at("/auth/microsoft?messageVisibility=SUBJECT")
            .await,
        person.form_at("/auth/microsoft").await,
    ];
    let own = |origin: &str, site: &str| {
        vec![
            ("origin", origin.to_owned()),
            ("sec-fetch-site", site.to_owned()),
        ]
    };
    let app_origin = APP.trim_end_matches('/');
    for headers in [
        own("https://evil.example", "cross-site"),
        own("null", "cross-site"),
        own(app_origin, "same-site"),
        own(app_origin, "same-origin"),
        own("https://acme.app.test.example", "same-site"),
        own(&format!("https://{EVIL_HOST}"), "cross-site"),
        own(&format!("https://{EVIL_HOST}"), "same-origin"),
        own(PUBLIC, "cross-site"),
        own(PUBLIC, "same-site"),
        own(PUBLIC, "none"),
        own(&PUBLIC.replace("https", "http"), "same-origin"),
        own(&format!("{PUBLIC}:444"), "same-origin"),
        vec![("sec-fetch-site", "same-origin".to_owned())],
        Vec::new(),
    ] {
        for form in &forms {
            let mut browser = ada.clone().json();
            browser.headers.extend(headers.clone());
            let response = assert_nothing_written(&app, async || {
                browser.post_form(&form.action, form.body()).await
            })
            .await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (403, "cross_site"),
                "{headers:?} {}",
                form.action
            );
            assert_eq!(browser.flows(), ada.flows());
        }
        let mut browser = ada.clone().json();
        browser.headers.extend(headers.clone());
        let body = format!("returnTo=https://{EVIL_HOST}/&codeChallenge={CHALLENGE}");
        let response = assert_nothing_written(&app, async || {
            browser.post_form("/auth/hand-over", body.clone()).await
        })
        .await;
        assert_eq!(response.status, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn joining_by_a_link_connects_nothing_and_hands_no_session_over() {
    let app = TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await;
    let pool = app.database.pool();
    for (provider, person) in [("google", "ada"), ("microsoft", "grace")] {
        let mut browser = app.browser();
        let link = format!("/auth/{provider}?returnTo={CRM}/&codeChallenge={CHALLENGE}");
        let response = app
            .run_flow_by_link(&mut browser, &link, &Decision::allow(person))
            .await;
        let page = response.full_location();
        let page = page.strip_prefix(PUBLIC).unwrap();
        assert!(page.starts_with("/auth/welcome/"), "{page}");
        assert!(response.handover_code().is_none());
        let event = app.events().await.pop().unwrap();
        assert_eq!((event.intent(), event.connection), (Intent::SignIn, None));
        // A second sign-in by the link does not connect the account either.
        let again = format!("/auth/{provider}?prompt=consent");
        app.run_flow_by_link(&mut browser, &again, &Decision::allow(person))
            .await;
        assert_eq!(app.events().await.pop().unwrap().connection, None);
        // A page of this service says so, in the person's own session.
        let page = browser.get(page).await;
        assert!(page.body.contains("Welcome to Acme"), "{}", page.body);
        assert!(page.body.contains(&format!("{person}@acme.example")));
        assert!(page.body.contains("crm.example"));
    }
    let (codes,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM auth.handover_code WHERE origin = $1")
            .bind(CRM)
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(codes, 0);
}

#[tokio::test]
async fn a_session_is_not_handed_to_another_workspaces_host() {
    let (app, _, ada) = acme_and_evil().await;
    let back = format!("returnTo=https://{EVIL_HOST}/&codeChallenge={CHALLENGE}");
    let home = "https://acme.app.test.example/";
    // With an existing session, and with a new sign-in.
    let mut browser = ada.clone();
    let response = assert_nothing_written(&app, async || {
        browser.get(&format!("/auth/microsoft?{back}")).await
    })
    .await;
    assert_eq!(response.full_location(), home);
    let mut browser = ada.clone();
    let link = format!("/auth/microsoft?prompt=consent&workspaceSubdomain=acme&{back}");
    let response = app
        .run_flow_by_link(&mut browser, &link, &Decision::allow("ada"))
        .await;
    assert_eq!(response.full_location(), home);
    // Nor with the button of the page, even if the form was changed.
    let page = browser.get("/auth/welcome/microsoft").await;
    let form = page
        .form("/auth/hand-over")
        .choose("returnTo", &format!("https://{EVIL_HOST}/"))
        .choose("codeChallenge", CHALLENGE);
    let response = assert_nothing_written(&app, async || browser.submit(&form).await).await;
    assert_eq!(response.refresh_url(), home);
}

#[tokio::test]
async fn another_site_does_not_choose_the_code_challenge() {
    let app = TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await;
    let ada = app.signed_in("ada").await;
    let link = format!("/auth/google?returnTo={CRM}/&codeChallenge={CHALLENGE}");
    let by = |site: &str, referer: Option<&str>| {
        let mut browser = ada.clone();
        browser.headers = vec![("sec-fetch-site", site.to_owned())];
        if let Some(page) = referer {
            browser.headers.push(("referer", page.to_owned()));
        }
        browser
    };
    for mut browser in [
        by("cross-site", Some("https://evil.example/")),
        by("cross-site", Some(APP)),
        by("cross-site", None),
        by("none", None),
    ] {
        assert_nothing_written(&app, async || review_page_path(&browser.get(&link).await)).await;
    }
    // The front end itself may choose it.
    let mut browser = by("cross-site", Some(&format!("{CRM}/")));
    let response = browser.get(&link).await;
    assert!(
        response
            .full_location()
            .starts_with(&format!("{CRM}/#code="))
    );
}

#[tokio::test]
async fn the_button_does_only_what_the_page_showed() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    let grace = app.signed_in("grace").await;
    let connect = ada.form_at("/auth/google-apis").await;
    // Now somebody else or nobody is signed in.
    let mut other = ada.clone();
    other.cookies = grace.cookies.clone();
    let response = assert_nothing_written(&app, async || other.submit(&connect).await).await;
    assert_eq!(response.status, 409);
    assert!(
        response.body.contains("Please look again"),
        "{}",
        response.body
    );
    let mut nobody = app.browser();
    let response = assert_nothing_written(&app, async || nobody.submit(&connect).await).await;
    assert_eq!(response.status, 303);
    // The invitation was replaced, or the form was changed.
    let link = public_link(&app, app.workspace).await;
    let mut linus = app.browser();
    let join = linus.form_at(&format!("/auth/google?{link}")).await;
    public_link(&app, app.workspace).await;
    for form in [join.clone(), join.choose("seen", "")] {
        let response = assert_nothing_written(&app, async || linus.submit(&form).await).await;
        assert_eq!(response.status, 409, "{}", response.body);
        assert_eq!(linus.flows(), 0);
    }
    // The session changes while the person is at the provider.
    let callback = app
        .run_flow_to_callback(&mut ada, "/auth/google-apis", &Decision::allow("eve"))
        .await;
    let mut other = grace.clone().json();
    other.cookies.extend(
        ada.cookies
            .iter()
            .filter(|(name, _)| name.contains("-flow-"))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let response = assert_nothing_written(&app, async || other.get(&callback).await).await;
    assert_eq!(response.code(), "session_changed");
}
