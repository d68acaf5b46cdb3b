//! The links of error pages, which keep the parameters of the request or of the flow.

use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use url::Url;

use crate::support::front_end::{CHALLENGE, CRM, start_with_front_end};
use crate::support::{APP, PUBLIC, Response, TestApp};

/// The parameters of a start by a front end on another origin.
fn start_parameters() -> String {
    format!("returnTo={CRM}/deals%3Fid%3D7%23notes&codeChallenge={CHALLENGE}&locale=de")
}

/// Returns the link with this label.
fn link(page: &Response, label: &str) -> Option<Url> {
    let before = &page.body[..page.body.find(&format!(">{label}<"))?];
    let href = before.rsplit("href=\"").next()?.split('"').next()?;
    let href = href.replace("&#38;", "&").replace("&amp;", "&");
    Some(Url::parse(PUBLIC).unwrap().join(&href).unwrap())
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn assert_parameters_kept(url: &Url, path: &str) {
    assert_eq!(url.path(), path);
    for (name, value) in [
        ("returnTo", format!("{CRM}/deals?id=7#notes")),
        ("codeChallenge", CHALLENGE.to_owned()),
        ("locale", "de".to_owned()),
    ] {
        assert_eq!(parameter(url, name), Some(value), "{url}");
    }
}

// R8 R10
#[tokio::test]
async fn after_a_refusal_every_link_keeps_return_location_and_challenge() {
    let app = start_with_front_end().await;
    let start = format!("/auth/google?{}", start_parameters());
    let mut pages = Vec::new();
    let mut browser = app.browser();
    pages.push(app.run_flow(&mut browser, &start, &Decision::deny()).await);
    let stranger = Decision::allow("linus");
    pages.push(app.run_flow(&mut browser, &start, &stranger).await);
    app.demo.inject(
        Fault::on(Endpoint::Token)
            .reset()
            .of(Flavour::Google)
            .times(5),
    );
    let ada = Decision::allow("ada");
    pages.push(app.run_flow(&mut browser, &start, &ada).await);
    app.demo.forget_faults();
    for page in &pages {
        assert!(page.status >= 400, "{}", page.body);
        assert_parameters_kept(&link(page, "Try again").unwrap(), "/auth/google");
        let sign_in = link(page, "Go to the sign-in page").unwrap();
        assert_parameters_kept(&sign_in, "/auth/sign-in");
        let back = link(page, "Back to the application").unwrap();
        assert_eq!(back.as_str(), format!("{CRM}/deals?id=7#notes"));
    }
    // Each link leads into the application with a code for its verifier.
    let again = link(&pages[0], "Try again").unwrap();
    // Consent is requested at once because no refresh token is stored in this test.
    let again = format!("{}&prompt=consent", &again[url::Position::BeforePath..]);
    let done = app.run_flow(&mut browser, &again, &ada).await;
    assert!(
        done.full_location()
            .starts_with(&format!("{CRM}/deals?id=7#notes&code=")),
        "{}",
        done.full_location()
    );
    let mut other = app.browser();
    let sign_in = link(&pages[0], "Go to the sign-in page").unwrap();
    let page = other.get(&sign_in[url::Position::BeforePath..]).await;
    let form = page.form("/auth/sign-in/google");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&form.fields)
        .finish();
    let query = format!("/auth/google?{query}");
    assert_parameters_kept(
        &Url::parse(PUBLIC).unwrap().join(&query).unwrap(),
        "/auth/google",
    );
}

// R8
#[tokio::test]
async fn a_refused_start_keeps_its_valid_parameters() {
    let app = start_with_front_end().await;
    let mut browser = app.browser();
    let wrong = format!("/auth/google?{}&messageVisibility=ALL", start_parameters());
    let page = browser.get(&wrong).await;
    assert_eq!(page.status, 400);
    assert_parameters_kept(
        &link(&page, "Go to the sign-in page").unwrap(),
        "/auth/sign-in",
    );
    // A refused return location does not become a link.
    let page = browser
        .get("/auth/google?returnTo=https://evil.example/")
        .await;
    assert_eq!(page.status, 400);
    assert!(!page.body.contains("evil.example"), "{}", page.body);
    let back = link(&page, "Back to the application").unwrap();
    assert_eq!(back.as_str(), APP);
    // Nor does a path that names another host.
    let page = browser.get("//evil.example/x").await;
    assert!(!page.body.contains("evil.example"), "{}", page.body);
}

// R8
#[tokio::test]
async fn the_rate_limit_page_keeps_the_parameters_of_the_request() {
    let app = TestApp::start_with(&[
        ("ALLOWED_RETURN_ORIGINS", CRM),
        ("RATE_LIMIT_PER_ADDRESS", "1"),
    ])
    .await;
    let mut browser = app.browser();
    let start = format!("/auth/google?{}", start_parameters());
    browser.get(&start).await;
    let page = browser.get(&start).await;
    assert_eq!(page.status, 429);
    assert_parameters_kept(&link(&page, "Try again").unwrap(), "/auth/google");
    // A front end on another origin can read `Retry-After`.
    browser.headers = vec![("origin", CRM.to_owned())];
    let response = browser.get("/auth/me").await;
    assert_eq!(response.status, 429);
    assert_eq!(response.headers["access-control-allow-origin"], CRM);
    assert_eq!(
        response.headers["access-control-expose-headers"],
        "Retry-After"
    );
}

// R8: an answer of the provider is for one try, and its code is for no page.
#[tokio::test]
async fn a_page_of_the_rate_limit_does_not_lead_back_to_a_callback() {
    let app = TestApp::start_with(&[("RATE_LIMIT_PER_ADDRESS", "1")]).await;
    let mut browser = app.browser();
    for answer in ["code=secret", "state=secret", "error=secret"] {
        let callback = format!("/auth/google/redirect?{answer}&more=1");
        let page = loop {
            let page = browser.get(&callback).await;
            if page.status == 429 {
                break page;
            }
        };
        assert!(link(&page, "Try again").is_none(), "{}", page.body);
        assert!(!page.body.contains("secret"), "{}", page.body);
    }
}

// R8 R22
#[tokio::test]
async fn an_error_page_says_who_is_signed_in_and_opens_the_application() {
    let app = start_with_front_end().await;
    let mut browser = app.signed_in("ada").await;
    // With a dead grant every start goes to the provider.
    app.store_grant(&[], true).await;
    let start = format!("/auth/google?{}", start_parameters());
    let page = app.run_flow(&mut browser, &start, &Decision::deny()).await;
    assert!(
        page.body.contains("You are signed in as ada@acme.example"),
        "{}",
        page.body
    );
    // The link reconnects the account, although this browser has a session.
    let again = link(&page, "Try again").unwrap();
    assert_eq!(parameter(&again, "reconnect").as_deref(), Some("1"));
    let open = link(&page, "Open Acme").unwrap();
    let response = browser.get(&open[url::Position::BeforePath..]).await;
    assert!(
        response
            .full_location()
            .starts_with(&format!("{CRM}/deals?id=7#notes&code=")),
        "{}",
        response.full_location()
    );
    // The callback of a finished flow redirects into the application.
    let over = browser.get("/auth/google/redirect?state=x&code=y").await;
    assert_eq!(over.location(), format!("{PUBLIC}/auth/open"));
    assert_eq!(browser.get("/auth/open").await.location(), APP);
}

// R8
#[tokio::test]
async fn opening_the_application_needs_a_session_and_an_allowed_return_location() {
    let app = start_with_front_end().await;
    let mut nobody = app.browser();
    let response = nobody
        .get(&format!("/auth/open?{}", start_parameters()))
        .await;
    assert_eq!(response.status, 303);
    let to = Url::parse(PUBLIC)
        .unwrap()
        .join(&response.location())
        .unwrap();
    assert_parameters_kept(&to, "/auth/sign-in");
    let mut ada = app.signed_in("ada").await;
    let response = ada.get("/auth/open?returnTo=https://evil.example/").await;
    assert_eq!(response.status, 400);
}

// R8
#[tokio::test]
async fn a_repeated_callback_of_a_signed_in_person_opens_the_application() {
    let app = start_with_front_end().await;
    let ada = Decision::allow("ada");
    let mut browser = app.browser();
    let deals = format!("/auth/google?prompt=consent&returnTo={CRM}/deals");
    let mut tabs = Vec::new();
    let start = "/auth/google?prompt=consent";
    for start in [start, &deals, start, start, &deals] {
        tabs.push(app.run_flow_to_callback(&mut browser, start, &ada).await);
    }
    let before = browser.clone();
    let last = tabs.pop().unwrap();
    assert_eq!(browser.get(&last).await.status, 302);
    let session = browser.session().unwrap().to_owned();

    // Reload and Back; the tab whose flow was replaced; a bookmarked callback without
    // `state`; the connect callback.
    for (over, start) in [
        (&last, "/auth/google"),
        (&tabs[0], "/auth/google"),
        (&"/auth/google/redirect".to_owned(), "/auth/google"),
        (
            &last.replace("/redirect", "-apis/get-access-token"),
            "/auth/google-apis",
        ),
    ] {
        let mut again = browser.clone();
        let response = again.get(over).await;
        assert_eq!(response.status, 302, "{start} {over}: {}", response.body);
        assert_eq!(response.location(), format!("{PUBLIC}/auth/open"));
        assert_eq!(again.get("/auth/open").await.location(), APP);
        assert_eq!(again.session(), Some(session.as_str()));
        // A program receives the error.
        assert_eq!(again.json().get(over).await.code(), "flow_unknown");
        // A person who is not signed in sees the error page.
        assert_eq!(app.browser().get(over).await.status, 400);
    }

    // The browser sends the flow cookie again because two requests ran at once.
    let mut twice = browser.clone();
    let flows = before.cookies.into_iter();
    twice
        .cookies
        .extend(flows.filter(|(name, _)| name.contains("-flow-")));
    let next_url = twice.get(&last).await.location();
    let next_url = next_url.strip_prefix(PUBLIC).unwrap();
    assert_eq!(twice.get(next_url).await.location(), format!("{CRM}/deals"));
}
