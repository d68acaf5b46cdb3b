//! Third-party initiated login (Core section 4): any site can initiate one, so it can only
//! start a plain sign-in at a configured provider.

use auth_svc::random::Randomness;
use auth_svc::store::workspace;
use latchkey_demo_provider::{Decision, Flavour};

use crate::support::{TestApp, assert_nothing_written, refusal};

const START: &str = "/auth/initiate-login";

/// Decision 17: the choices of a person are ignored here.
#[tokio::test]
async fn a_portal_chooses_nothing_for_a_person() {
    let app = TestApp::start().await;
    let token = workspace::invite::set_public_invite(
        app.database.pool(),
        app.workspace,
        true,
        &Randomness::default(),
    )
    .await
    .unwrap()
    .unwrap();
    let asked = format!(
        "iss={}&workspaceInviteHash={token}&messageVisibility=METADATA&reconnect=1\
         &prompt=consent&codeChallenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
         &hostedDomain=evil.example&purpose=connect",
        app.demo.issuer(Flavour::Google)
    );
    let mut linus = app.browser().json();
    let start = linus.get(&format!("{START}?{asked}")).await;
    for name in ["hd", "prompt"] {
        assert_eq!(start.parameter(name), None, "{name}");
    }
    // Linus is not of Acme's domain, and the invitation in the link is ignored.
    let callback = app
        .decide(&start.location(), &Decision::allow("linus"))
        .await;
    let response = assert_nothing_written(&app, async || linus.get(&callback).await).await;
    assert_eq!(refusal(&response).0, 403);
    // Ada joins by her domain. As with any link, nothing is connected or handed over.
    let mut ada = app.browser();
    let start = ada.get(&format!("{START}?{asked}")).await;
    let callback = app.decide(&start.location(), &Decision::allow("ada")).await;
    let location = ada.get(&callback).await.location();
    assert!(location.contains("/auth/welcome/google"), "{location}");
    let event = app.events().await.pop().unwrap();
    assert!(event.connection.is_none());
}

/// Core section 4: `iss` has to equal a configured issuer, and the target has to be an
/// allowed return location.
#[tokio::test]
async fn a_portal_leads_to_no_other_provider_and_to_no_other_site() {
    let app = TestApp::start().await;
    let google = app.demo.issuer(Flavour::Google);
    for (asked, status, code) in [
        (String::new(), 400, "invalid_parameter"),
        ("iss=".to_owned(), 400, "invalid_parameter"),
        (
            "iss=https://evil.example".to_owned(),
            404,
            "provider_not_configured",
        ),
        (format!("iss={google}/"), 404, "provider_not_configured"),
        (
            format!("iss={google}&iss={google}"),
            400,
            "duplicate_parameter",
        ),
        (
            format!("iss={google}&target_link_uri=https://evil.example/"),
            400,
            "return_location_refused",
        ),
        (
            format!("iss={google}&target_link_uri=//evil.example/"),
            400,
            "return_location_refused",
        ),
        (
            format!("iss={google}&login_hint={}", "a".repeat(400)),
            400,
            "invalid_parameter",
        ),
    ] {
        let mut browser = app.browser().json();
        let by_get = browser.get(&format!("{START}?{asked}")).await;
        let by_form = browser.post_form(START, asked.clone()).await;
        for response in [by_get, by_form] {
            assert_eq!(refusal(&response), (status, code.to_owned()), "{asked}");
            assert!(response.set_cookies().is_empty(), "{asked}");
        }
    }
}

/// In multi-domain mode the target names the workspace. The host of one workspace gets no
/// session of another.
#[tokio::test]
async fn a_portal_hands_no_session_to_another_workspaces_host() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    app.workspace("evil", &[]).await;
    let google = app.demo.issuer(Flavour::Google);
    for (target, signed_in) in [
        ("https://acme.app.test.example/deals", true),
        ("https://evil.app.test.example/", false),
    ] {
        let mut ada = app.browser().json();
        let path = format!("{START}?iss={google}&target_link_uri={target}");
        let start = ada.get(&path).await.location();
        let callback = app.decide(&start, &Decision::allow("ada")).await;
        let response = ada.get(&callback).await;
        // Ada is not a member of Evil, so the response is an error without a hand-over.
        assert_eq!(
            response.status == 302,
            signed_in,
            "{target}: {}",
            response.body
        );
        assert_eq!(ada.session().is_some(), signed_in, "{target}");
    }
}
