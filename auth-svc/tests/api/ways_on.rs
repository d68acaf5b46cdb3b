//! Where an error page lets people go: what the link or the flow asked for is kept.

use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use url::Url;

use crate::crm::{CHALLENGE, CRM, crm};
use crate::helpers::{APP, Answer, PUBLIC, TestApp};

/// What a front end on another origin starts with.
fn asked() -> String {
    format!("returnTo={CRM}/deals%3Fid%3D7%23notes&codeChallenge={CHALLENGE}&locale=de")
}

/// The link of a page that says this.
fn link(page: &Answer, label: &str) -> Option<Url> {
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

fn keeps_what_was_asked(url: &Url, path: &str) {
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
async fn after_a_refusal_every_way_on_keeps_return_location_and_challenge() {
    let app = crm().await;
    let start = format!("/auth/google?{}", asked());
    let mut pages = Vec::new();
    let mut browser = app.browser();
    pages.push(app.round(&mut browser, &start, &Decision::deny()).await);
    let stranger = Decision::allow("linus");
    pages.push(app.round(&mut browser, &start, &stranger).await);
    app.demo.inject(
        Fault::on(Endpoint::Token)
            .reset()
            .of(Flavour::Google)
            .times(5),
    );
    let ada = Decision::allow("ada");
    pages.push(app.round(&mut browser, &start, &ada).await);
    app.demo.forget_faults();
    for page in &pages {
        assert!(page.status >= 400, "{}", page.body);
        keeps_what_was_asked(&link(page, "Try again").unwrap(), "/auth/google");
        let sign_in = link(page, "Go to the sign-in page").unwrap();
        keeps_what_was_asked(&sign_in, "/auth/sign-in");
        let back = link(page, "Back to the application").unwrap();
        assert_eq!(back.as_str(), format!("{CRM}/deals?id=7#notes"));
    }
    // By each of them the application gets its person, and the code its verifier.
    let again = link(&pages[0], "Try again").unwrap();
    // Asked for consent at once: no refresh token is stored here.
    let again = format!("{}&prompt=consent", &again[url::Position::BeforePath..]);
    let done = app.round(&mut browser, &again, &ada).await;
    assert!(
        done.whole_location()
            .starts_with(&format!("{CRM}/deals?id=7#notes&code=")),
        "{}",
        done.whole_location()
    );
    let mut other = app.browser();
    let sign_in = link(&pages[0], "Go to the sign-in page").unwrap();
    let page = other.get(&sign_in[url::Position::BeforePath..]).await;
    let form = page.form("/auth/sign-in/google");
    let asked = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&form.fields)
        .finish();
    let asked = format!("/auth/google?{asked}");
    keeps_what_was_asked(
        &Url::parse(PUBLIC).unwrap().join(&asked).unwrap(),
        "/auth/google",
    );
}

// R8
#[tokio::test]
async fn a_start_that_is_refused_keeps_what_is_good_of_it() {
    let app = crm().await;
    let mut browser = app.browser();
    let wrong = format!("/auth/google?{}&messageVisibility=ALL", asked());
    let page = browser.get(&wrong).await;
    assert_eq!(page.status, 400);
    keeps_what_was_asked(
        &link(&page, "Go to the sign-in page").unwrap(),
        "/auth/sign-in",
    );
    // A return location that is refused is no link.
    let page = browser
        .get("/auth/google?returnTo=https://evil.example/")
        .await;
    assert_eq!(page.status, 400);
    assert!(!page.body.contains("evil.example"), "{}", page.body);
    let back = link(&page, "Back to the application").unwrap();
    assert_eq!(back.as_str(), APP);
    // Not a link of this service, either.
    let page = browser.get("//evil.example/x").await;
    assert!(!page.body.contains("evil.example"), "{}", page.body);
}

// R8
#[tokio::test]
async fn a_page_of_the_rate_limit_leads_on_as_it_was_asked() {
    let app = TestApp::start_with(&[
        ("ALLOWED_RETURN_ORIGINS", CRM),
        ("RATE_LIMIT_PER_ADDRESS", "1"),
    ])
    .await;
    let mut browser = app.browser();
    let start = format!("/auth/google?{}", asked());
    browser.get(&start).await;
    let page = browser.get(&start).await;
    assert_eq!(page.status, 429);
    keeps_what_was_asked(&link(&page, "Try again").unwrap(), "/auth/google");
    // A front end on another origin can read when to ask again.
    browser.headers = vec![("origin", CRM.to_owned())];
    let answer = browser.get("/auth/me").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["access-control-allow-origin"], CRM);
    assert_eq!(
        answer.headers["access-control-expose-headers"],
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
async fn who_is_signed_in_is_told_so_and_gets_into_the_application() {
    let app = crm().await;
    let mut browser = app.signed_in("ada").await;
    // A grant that has to be repaired sends every start to the provider.
    app.store_grant(&[], true).await;
    let start = format!("/auth/google?{}", asked());
    let page = app.round(&mut browser, &start, &Decision::deny()).await;
    assert!(
        page.body.contains("You are signed in as ada@acme.example"),
        "{}",
        page.body
    );
    // Again with the same account, although this browser has a session.
    let again = link(&page, "Try again").unwrap();
    assert_eq!(parameter(&again, "reconnect").as_deref(), Some("1"));
    let open = link(&page, "Open Acme").unwrap();
    let answer = browser.get(&open[url::Position::BeforePath..]).await;
    assert!(
        answer
            .whole_location()
            .starts_with(&format!("{CRM}/deals?id=7#notes&code=")),
        "{}",
        answer.whole_location()
    );
    // A flow that is over leads into the application by itself.
    let over = browser.get("/auth/google/redirect?state=x&code=y").await;
    assert_eq!(over.location(), format!("{PUBLIC}/auth/open"));
    assert_eq!(browser.get("/auth/open").await.location(), APP);
}

// R8
#[tokio::test]
async fn the_way_into_the_application_is_for_who_is_signed_in_and_leads_nowhere_else() {
    let app = crm().await;
    let mut nobody = app.browser();
    let answer = nobody.get(&format!("/auth/open?{}", asked())).await;
    assert_eq!(answer.status, 303);
    let to = Url::parse(PUBLIC)
        .unwrap()
        .join(&answer.location())
        .unwrap();
    keeps_what_was_asked(&to, "/auth/sign-in");
    let mut ada = app.signed_in("ada").await;
    let answer = ada.get("/auth/open?returnTo=https://evil.example/").await;
    assert_eq!(answer.status, 400);
}

// R8
#[tokio::test]
async fn reload_back_and_a_fifth_tab_at_the_callback_land_who_is_signed_in_in_the_app() {
    let app = crm().await;
    let ada = Decision::allow("ada");
    let mut browser = app.browser();
    let deals = format!("/auth/google?prompt=consent&returnTo={CRM}/deals");
    let mut tabs = Vec::new();
    let start = "/auth/google?prompt=consent";
    for start in [start, &deals, start, start, &deals] {
        tabs.push(app.to_callback(&mut browser, start, &ada).await);
    }
    let before = browser.clone();
    let last = tabs.pop().unwrap();
    assert_eq!(browser.get(&last).await.status, 302);
    let session = browser.session().unwrap().to_owned();

    // Reload and Back; the tab whose flow gave way; a callback that was kept as a
    // bookmark, without what names a flow.
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
        let answer = again.get(over).await;
        assert_eq!(answer.status, 302, "{start} {over}: {}", answer.body);
        assert_eq!(answer.location(), format!("{PUBLIC}/auth/open"));
        assert_eq!(again.get("/auth/open").await.location(), APP);
        assert_eq!(again.session(), Some(session.as_str()));
        // A program gets the error.
        assert_eq!(again.json().get(over).await.code(), "flow_unknown");
        // A person who is not signed in gets the error page.
        assert_eq!(app.browser().get(over).await.status, 400);
    }

    // The browser sends the flow's cookie once more: it had two requests under way.
    let mut twice = browser.clone();
    let flows = before.cookies.into_iter();
    twice
        .cookies
        .extend(flows.filter(|(name, _)| name.contains("-flow-")));
    let onwards = twice.get(&last).await.location();
    let onwards = onwards.strip_prefix(PUBLIC).unwrap();
    assert_eq!(twice.get(onwards).await.location(), format!("{CRM}/deals"));
}
