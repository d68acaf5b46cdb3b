use auth_svc::store::workspace::{self, member};
use auth_svc::workspace::removal::{RemovalError, find_member};
use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

// R7
#[tokio::test]
async fn the_first_member_becomes_administrator_and_others_do_not() {
    let app = TestApp::start().await;
    let pool = app.database.pool();
    workspace::domain::approve_domain(pool, app.workspace, "globex.example", true)
        .await
        .unwrap();
    let mut ada = app.signed_in("ada").await.json();
    let mut linus = app.signed_in("linus").await.json();
    let mut stranger = app.browser().json();
    let new = json!({ "domain": "x.example", "host": "x.example", "email": "a@x.example",
                      "enabled": true });
    for (method, path) in [
        (Method::GET, "/auth/workspace/domains"),
        (Method::POST, "/auth/workspace/domains"),
        (Method::POST, "/auth/workspace/domains/x.example/verify"),
        (Method::DELETE, "/auth/workspace/domains/acme.example"),
        (Method::GET, "/auth/workspace/invitations"),
        (Method::POST, "/auth/workspace/invitations"),
        (
            Method::DELETE,
            "/auth/workspace/invitations/00000000-0000-0000-0000-000000000001",
        ),
        (Method::PUT, "/auth/workspace/public-invite"),
        (Method::GET, "/auth/workspace/custom-domain"),
        (Method::POST, "/auth/workspace/custom-domain"),
        (
            Method::POST,
            "/auth/workspace/custom-domain/x.example/verify",
        ),
        (Method::DELETE, "/auth/workspace/custom-domain"),
    ] {
        let what = format!("{method} {path}");
        let response = linus.send_json(method.clone(), path, &new).await;
        assert_eq!(response.code(), "not_admin", "{what}");
        let response = stranger.send_json(method.clone(), path, &new).await;
        assert_eq!(response.code(), "not_signed_in", "{what}");
        if method != Method::GET {
            ada.headers
                .push(("origin", "https://evil.example".to_owned()));
            let response = ada.send_json(method, path, &new).await;
            assert_eq!(response.code(), "cross_site", "{what}");
            ada.headers.pop();
        }
    }
    // An operator can make a member an administrator.
    let found = find_member(pool, app.workspace, "Linus@globex.example").await;
    let user = found.unwrap().user_id;
    let changed = member::set_role(pool, app.workspace, user, "ADMIN").await;
    assert!(changed.unwrap());
    assert_eq!(linus.get("/auth/workspace/domains").await.status, 200);
    let nobody = find_member(pool, app.workspace, "nobody@x.example").await;
    assert!(matches!(nobody, Err(RemovalError::NotAMember)));
    let changed = member::set_role(pool, app.workspace, uuid::Uuid::nil(), "ADMIN").await;
    assert!(!changed.unwrap());
}

// R7
#[tokio::test]
async fn of_two_simultaneous_first_members_one_becomes_administrator() {
    let app = TestApp::start().await;
    let pool = app.database.pool();
    workspace::domain::approve_domain(pool, app.workspace, "globex.example", true)
        .await
        .unwrap();
    let come = async |person: &str| {
        let mut browser = app.browser();
        let path = "/auth/google?prompt=consent";
        app.run_flow(&mut browser, path, &Decision::allow(person))
            .await
    };
    tokio::join!(come("ada"), come("linus"));
    let members = member::members(pool, app.workspace).await.unwrap();
    let admins = members.iter().filter(|m| m.role == "ADMIN").count();
    assert_eq!((members.len(), admins), (2, 1));
}
