use auth_svc::login::domain_list::DomainList;
use auth_svc::login::domain_policy::DeploymentPolicy;
use auth_svc::workspace::removal::{self, Removal};
use latchkey_proto::events::MemberRemoved;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{APP, Browser, PUBLIC, Response, TestApp};

const MEMBERS: &str = "/auth/workspace/members";
const PAGE: &str = "/auth/account/members";

/// Starts the application with Ada, an administrator, and Grace, a member, signed in.
async fn team() -> (TestApp, Browser, Browser) {
    let app = TestApp::start_with(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let ada = app.signed_in("ada").await;
    let grace = app.signed_in("grace").await;
    (app, ada, grace)
}

async fn id_of(browser: &mut Browser) -> String {
    let me = browser.me().await.unwrap();
    me["userId"].as_str().unwrap().to_owned()
}

/// Returns the removal events in the outbox.
async fn removal_events(app: &TestApp) -> Vec<MemberRemoved> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "SELECT payload FROM auth.outbox WHERE routing_key = 'member.removed.v1' ORDER BY seq",
    )
    .fetch_all(app.database.pool())
    .await
    .unwrap();
    rows.iter()
        .map(|(payload,)| MemberRemoved::decode(payload.as_slice()).unwrap())
        .collect()
}

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(app.database.pool())
        .await
        .unwrap()
}

async fn remove(browser: &mut Browser, id: &str, query: &str) -> Response {
    let path = format!("{MEMBERS}/{id}{query}");
    browser.send(Method::DELETE, &path).await
}

// R18, R14: at once, for every kind of session and token.
#[tokio::test]
async fn a_removed_member_is_signed_out_of_this_workspace_only() {
    let (app, mut ada, mut grace) = team().await;
    // The same person is also a member of another workspace, with a session there.
    let other = app.workspace("other", &["acme.example"]).await;
    sqlx::query(
        "INSERT INTO auth.workspace_member (workspace_id, user_id, joined_by)
         SELECT $1, id, 'ADDED' FROM auth.app_user WHERE email = 'grace@acme.example'",
    )
    .bind(other.as_uuid())
    .execute(app.database.pool())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO auth.session (id, secret_hash, user_id, workspace_id, expires_at)
         SELECT gen_random_uuid(), '\\x01', user_id, $1, expires_at FROM auth.session
         WHERE user_id = (SELECT id FROM auth.app_user WHERE email = 'grace@acme.example')
         LIMIT 1",
    )
    .bind(other.as_uuid())
    .execute(app.database.pool())
    .await
    .unwrap();
    let id = id_of(&mut grace).await;

    let response = remove(&mut ada, &id, "").await;
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.json()["sessionsEnded"], 1);
    assert_eq!(response.json()["connections"], "DISCONNECTING");
    assert_eq!(grace.me().await, None);
    let pair = format!("v={}", grace.cookies["tokenPair"]);
    let (_, pair) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    let pair: Value = serde_json::from_str(&pair).unwrap();
    let grant =
        json!({ "grantType": "refresh_token", "refreshToken": pair["refreshToken"]["token"] });
    let response = grace.post_json(PUBLIC, "/auth/token", &grant).await;
    assert_eq!(response.code(), "invalid_grant");
    for (query, left) in [
        (
            "SELECT count(*) FROM auth.session WHERE revoked_at IS NULL",
            2,
        ),
        (
            "SELECT count(*) FROM auth.refresh_family WHERE ended_at IS NULL",
            1,
        ),
        (
            "SELECT count(*) FROM auth.handover_code WHERE used_at IS NULL",
            1,
        ),
        ("SELECT count(*) FROM auth.workspace_member", 2),
    ] {
        assert_eq!(count(&app, query).await, left, "{query}");
    }
    assert!(ada.me().await.is_some());
    let events = removal_events(&app).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].user_id, id);
    assert_eq!(events[0].workspace_id, app.workspace.to_string());
    assert!(!events[0].keep_connections && events[0].removed_at.is_some());
    assert_eq!(remove(&mut ada, &id, "").await.code(), "not_found");
}

// R18, R7: a removed person is not barred.
#[tokio::test]
async fn the_response_says_how_a_removed_person_could_join_again() {
    let (app, mut ada, mut grace) = team().await;
    let public = json!({ "enabled": true });
    ada.send_json(Method::PUT, "/auth/workspace/public-invite", &public)
        .await;
    let invited = json!({ "email": "grace@acme.example" });
    ada.send_json(Method::POST, "/auth/workspace/invitations", &invited)
        .await;
    let id = id_of(&mut grace).await;
    let response = remove(&mut ada, &id, "?keepConnections=true").await;
    let ways = response.json()["canJoinAgain"].as_array().unwrap().clone();
    let by: Vec<&str> = ways.iter().map(|way| way["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["DOMAIN", "INVITATION", "PUBLIC_LINK"]);
    assert!(
        ways[0]["message"]
            .as_str()
            .unwrap()
            .contains("acme.example")
    );
    assert!(removal_events(&app).await[0].keep_connections);

    // The person can join again, as everybody can.
    app.signed_in("grace").await;
    let domain = Method::DELETE;
    ada.send(domain, "/auth/workspace/domains/acme.example")
        .await;
    let response = remove(&mut ada, &id, "").await;
    assert!(!response.body.contains("DOMAIN"), "{}", response.body);
}

// R18, R7
#[tokio::test]
async fn a_domain_that_the_deployment_excludes_is_no_way_to_join_again() {
    let (app, mut ada, mut grace) = team().await;
    let invited = json!({ "email": "grace@acme.example" });
    ada.send_json(Method::POST, "/auth/workspace/invitations", &invited)
        .await;
    let id = id_of(&mut grace).await;
    // The workspace approved acme.example, and the deployment's list no longer has it.
    let removal = Removal {
        workspace: app.workspace,
        who: &id,
        keep_connections: false,
        force: false,
    };
    let deployment = DeploymentPolicy {
        allowed_domains: &DomainList::parse(&["globex.example"]).unwrap(),
        multi_workspace: false,
    };
    let mut transaction = app.database.pool().begin().await.unwrap();
    let removed = removal::remove(&mut transaction, removal, deployment)
        .await
        .unwrap();
    assert!(removed.rejoin_options.is_empty(), "{removed:?}");
}

// R18
#[tokio::test]
async fn the_last_administrator_cannot_be_removed_and_members_remove_nobody() {
    let (app, mut ada, mut grace) = team().await;
    let (own, other) = (id_of(&mut ada).await, id_of(&mut grace).await);
    let response = remove(&mut ada, &own, "").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (409, "last_administrator")
    );
    assert_eq!(remove(&mut grace, &own, "").await.code(), "not_admin");
    assert_eq!(grace.get(MEMBERS).await.code(), "not_admin");
    assert_eq!(
        remove(&mut app.browser(), &own, "").await.code(),
        "not_signed_in"
    );
    ada.headers = vec![("origin", "https://evil.example".to_owned())];
    assert_eq!(remove(&mut ada, &other, "").await.code(), "cross_site");
    ada.headers.clear();
    let listed = ada.get(MEMBERS).await.json();
    let roles: Vec<&str> = listed["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["ADMIN", "MEMBER"]);
}

// R18
#[tokio::test]
async fn of_two_administrators_who_remove_each_other_one_stays() {
    let (app, mut ada, mut grace) = team().await;
    let (first, second) = (id_of(&mut ada).await, id_of(&mut grace).await);
    sqlx::query("UPDATE auth.workspace_member SET role = 'ADMIN'")
        .execute(app.database.pool())
        .await
        .unwrap();
    let (one, two) = tokio::join!(
        remove(&mut ada, &second, ""),
        remove(&mut grace, &first, "")
    );
    let done = [one.status, two.status]
        .iter()
        .filter(|&&s| s == 200)
        .count();
    assert_eq!(done, 1, "{} {}", one.body, two.body);
    assert_eq!(
        count(&app, "SELECT count(*) FROM auth.workspace_member").await,
        1
    );
}

// R18: the page asks first, and only a form of this service's own page removes.
#[tokio::test]
async fn an_administrator_removes_a_member_on_the_page() {
    let (app, mut ada, mut grace) = team().await;
    let id = id_of(&mut grace).await;
    assert_eq!(grace.get(PAGE).await.status, 403);
    assert!(
        !grace
            .get("/auth/account/sessions")
            .await
            .body
            .contains(PAGE)
    );
    assert_eq!(app.browser().get(PAGE).await.status, 303);

    let list = ada.get(PAGE).await;
    assert_eq!(list.status, 200, "{}", list.body);
    let ask = format!("{PAGE}/{id}/remove");
    assert!(list.body.contains("grace@acme.example") && list.body.contains(&ask));
    let page = ada.get(&ask).await;
    assert!(
        page.body.contains("Remove grace@acme.example from Acme?"),
        "{}",
        page.body
    );
    assert!(
        grace.me().await.is_some(),
        "the confirmation page changed something"
    );

    let keep = "connections=keep".to_owned();
    for origin in [APP.trim_end_matches('/'), "https://evil.example", "null"] {
        ada.headers = vec![("origin", origin.to_owned())];
        assert_eq!(
            ada.post_form(&ask, keep.clone()).await.status,
            403,
            "{origin}"
        );
    }
    ada.headers = vec![("origin", PUBLIC.to_owned())];
    let done = ada.post_form(&ask, keep.clone()).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(grace.me().await, None);
    assert!(removal_events(&app).await[0].keep_connections);
    let list = ada.get(&done.location()).await;
    assert!(!list.body.contains("grace@acme.example"));
    assert!(
        list.body.contains("they can join again by signing"),
        "{}",
        list.body
    );
    assert_eq!(ada.post_form(&ask, keep).await.status, 404);
    let own = format!("{PAGE}/{}/remove", id_of(&mut ada).await);
    assert_eq!(ada.post_form(&own, String::new()).await.status, 409);
}
