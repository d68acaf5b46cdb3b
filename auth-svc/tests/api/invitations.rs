use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::json;

use crate::support::{APP, PUBLIC, TestApp};

const INVITATIONS: &str = "/auth/workspace/invitations";
const PUBLIC_LINK: &str = "/auth/workspace/public-invite";

/// Turns `https://auth…/?name=token` into `/auth/google?name=token`. Consent is requested
/// because the demo provider gives a refresh token only once without it.
fn start(link: &serde_json::Value) -> String {
    let link = link.as_str().unwrap();
    let query = link.strip_prefix(&format!("{PUBLIC}/")).unwrap();
    format!("/auth/google{query}&prompt=consent")
}

// R7
#[tokio::test]
async fn a_personal_invitation_is_listed_without_its_link_and_can_be_withdrawn() {
    let app = TestApp::start().await;
    let mut admin = app.signed_in("ada").await.json();
    let invite = json!({ "email": "linus@globex.example" });
    let made = admin.send_json(Method::POST, INVITATIONS, &invite).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let path = start(&made["link"]);
    let list = admin.get(INVITATIONS).await;
    assert_eq!(list.json()["invitations"][0]["status"], "PENDING");
    let token = path.split(['=', '&']).nth(1).unwrap();
    assert_eq!(token.len(), 43);
    assert!(!list.body.contains(token));

    let one = format!("{INVITATIONS}/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &one).await.status, 204);
    assert!(
        app.body_without_form(&path)
            .await
            .contains("does not work any more")
    );
    let list = admin.get(INVITATIONS).await.json();
    assert_eq!(list["invitations"][0]["status"], "REVOKED");

    // A used invitation cannot be withdrawn: the person is a member already.
    let made = admin
        .send_json(Method::POST, INVITATIONS, &invite)
        .await
        .json();
    let mut linus = app.browser();
    let round = app
        .run_flow(&mut linus, &start(&made["link"]), &Decision::allow("linus"))
        .await;
    assert_eq!(round.location(), APP);
    let one = format!("{INVITATIONS}/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &one).await.code(), "not_found");
}

// R7
#[tokio::test]
async fn a_public_link_that_was_rotated_or_switched_off_never_works_again() {
    let app = TestApp::start().await;
    let mut admin = app.signed_in("ada").await.json();
    let mut switch = async |on: bool| {
        let response = admin
            .send_json(Method::PUT, PUBLIC_LINK, &json!({ "enabled": on }))
            .await;
        assert_eq!(response.status, 200, "{}", response.body);
        response.json()["link"].clone()
    };
    let first = start(&switch(true).await);
    let second = start(&switch(true).await);
    assert_ne!(first, second);
    let dead = "does not work any more";
    assert!(app.body_without_form(&first).await.contains(dead));
    assert!(switch(false).await.is_null());
    assert!(app.body_without_form(&second).await.contains(dead));
    let third = start(&switch(true).await);
    assert!(app.body_without_form(&second).await.contains(dead));
    let mut linus = app.browser();
    let round = app
        .run_flow(&mut linus, &third, &Decision::allow("linus"))
        .await;
    assert_eq!(round.location(), APP);
}

// R7
#[tokio::test]
async fn the_deployments_list_limits_whom_an_administrator_may_invite() {
    let app = TestApp::start_with(&[("AUTH_ALLOWED_DOMAINS", "acme.example")]).await;
    let mut admin = app.signed_in("ada").await.json();
    let invite = json!({ "email": "linus@globex.example" });
    let response = admin.send_json(Method::POST, INVITATIONS, &invite).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (403, "domain_not_allowed")
    );
}
