//! The audit of changes by administrators and operators.

use latchkey_testkit::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{NameServer, PUBLIC, TestApp, latchkey};

async fn actions(app: &TestApp) -> Vec<(String, String, String)> {
    sqlx::query_as("SELECT actor || ' ' || way, action, target FROM auth.audit ORDER BY at, id")
        .fetch_all(app.database.pool())
        .await
        .unwrap()
}

/// Runs a command of `latchkey`, which must succeed, and returns its output.
fn run_successfully(app: &TestApp, name_server: &NameServer, arguments: &[&str]) -> String {
    let (succeeded, text) = run(app, name_server, arguments);
    assert!(succeeded, "{arguments:?}: {text}");
    text
}

/// Runs the command and returns whether it succeeded, and its output.
fn run(app: &TestApp, name_server: &NameServer, arguments: &[&str]) -> (bool, String) {
    let variables = [
        ("DATABASE_URL", app.database.url(Role::Operator)),
        ("PUBLIC_URL", PUBLIC.to_owned()),
        ("DNS_RESOLVERS", name_server.address.clone()),
    ];
    latchkey(arguments, &variables)
}

// R7, R18: every change over HTTP leaves one record; reading and failing leave none.
#[tokio::test]
async fn what_an_administrator_changes_over_http_is_recorded() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    let mut ada = app.browser();
    let path = "/auth/google?workspaceSubdomain=acme&prompt=consent";
    app.run_flow(
        &mut ada,
        path,
        &latchkey_demo_provider::Decision::allow("ada"),
    )
    .await;
    let mut ada = ada.json();
    let me = ada.me().await.unwrap();
    let domain = json!({ "domain": "acme.co" });
    ada.send_json(Method::POST, "/auth/workspace/domains", &domain)
        .await;
    ada.send(Method::DELETE, "/auth/workspace/domains/acme.co")
        .await;
    let invited = ada
        .send_json(
            Method::POST,
            "/auth/workspace/invitations",
            &json!({ "email": "noor@acme.co" }),
        )
        .await;
    let invitation = invited.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/auth/workspace/invitations/{invitation}");
    ada.send(Method::DELETE, &path).await;
    let mut secrets = vec![invited.json()["link"].as_str().unwrap().to_owned()];
    for enabled in [true, false] {
        let body = json!({ "enabled": enabled });
        let response = ada
            .send_json(Method::PUT, "/auth/workspace/public-invite", &body)
            .await;
        secrets.extend(response.json()["link"].as_str().map(str::to_owned));
    }
    let host = json!({ "host": "app.customer.example" });
    ada.send_json(Method::POST, "/auth/workspace/custom-domain", &host)
        .await;
    ada.send(Method::DELETE, "/auth/workspace/custom-domain")
        .await;
    // These requests change nothing.
    ada.get("/auth/workspace/members").await;
    ada.send(
        Method::DELETE,
        &path.replace(&invitation, "00000000-0000-0000-0000-000000000001"),
    )
    .await;
    ada.send(Method::POST, "/auth/workspace/domains/acme.co/verify")
        .await;

    let records = actions(&app).await;
    let (who, changes): (Vec<_>, Vec<_>) = records
        .iter()
        .map(|(who, action, target)| (who.as_str(), (action.as_str(), target.as_str())))
        .unzip();
    assert!(
        who.iter().all(|who| *who == "ADMINISTRATOR HTTP"),
        "{who:?}"
    );
    let made = format!("{invitation} noor@acme.co");
    assert_eq!(
        changes,
        [
            ("domain.claimed", "acme.co"),
            ("domain.removed", "acme.co"),
            ("invitation.made", made.as_str()),
            ("invitation.revoked", invitation.as_str()),
            ("public_link.on", "public link"),
            ("public_link.off", "public link"),
            ("host.claimed", "app.customer.example"),
            ("host.removed", "none"),
        ]
    );
    let (by, session): (uuid::Uuid, uuid::Uuid) =
        sqlx::query_as("SELECT DISTINCT user_id, session_id FROM auth.audit")
            .fetch_one(app.database.pool())
            .await
            .unwrap();
    assert_eq!(me["userId"], by.to_string());
    assert_eq!(me["sessionId"], session.to_string());
    let (all,): (String,) = sqlx::query_as("SELECT string_agg(a::text, ' ') FROM auth.audit a")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    for secret in secrets {
        let (_, secret) = secret.rsplit_once('=').unwrap();
        assert!(!all.contains(secret), "a link's token is in the audit");
    }
}

// R7, R18: changes by the operator's commands and by a verification link.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_changes_is_recorded_and_listed() {
    let (app, name_server) = (TestApp::start().await, NameServer::start().await);
    let mut grace = {
        app.signed_in("ada").await;
        app.signed_in("grace").await
    };
    for arguments in [
        &["approve-domain", "acme.co"][..],
        &["approve-domain", "acme.co", "--remove"],
        &["add-domain", "initech.example"],
        &["invite", "noor@acme.co"],
        &["public-invite", "on"],
        &["public-invite", "rotate"],
        &["public-invite", "off"],
        &["custom-domain", "approve", "app.customer.example"],
        &["custom-domain", "remove"],
        &["role", "grace@acme.example", "admin"],
    ] {
        run_successfully(&app, &name_server, &[&["workspace"], arguments].concat());
    }
    let link = run_successfully(
        &app,
        &name_server,
        &[
            "workspace",
            "verification-link",
            "postmaster@initech.example",
        ],
    );
    let link = link.lines().find(|line| line.starts_with(PUBLIC)).unwrap();
    let (_, token) = link.split_once("token=").unwrap();
    let mut anyone = app.browser();
    anyone.headers = vec![("origin", PUBLIC.to_owned())];
    let response = anyone
        .post_form("/verify-domain", format!("token={token}"))
        .await;
    assert_eq!(response.status, 200, "{}", response.body);
    let remove = ["workspace", "remove-member", "Grace@acme.example"];
    let text = run_successfully(&app, &name_server, &remove);
    assert!(text.contains("can join again by signing in"), "{text}");
    assert_eq!(grace.me().await, None);

    let records: Value = serde_json::from_str(&run_successfully(
        &app,
        &name_server,
        &["--json", "audit", "list"],
    ))
    .unwrap();
    let records = records.as_array().unwrap();
    let mut listed: Vec<_> = records
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    listed.reverse();
    assert_eq!(
        listed,
        [
            "domain.approved",
            "domain.removed",
            "domain.claimed",
            "invitation.made",
            "public_link.on",
            "public_link.rotated",
            "public_link.off",
            "host.approved",
            "host.removed",
            "member.role_changed",
            "domain.link_made",
            "domain.verified",
            "member.removed",
        ]
    );
    assert_eq!(records[1]["actor"], "LINK");
    for (place, record) in records.iter().enumerate().filter(|(place, _)| *place != 1) {
        assert_eq!(record["actor"], "OPERATOR", "{place}");
        assert_eq!(record["databaseRole"], "operator_person");
        assert!(!record.to_string().contains(token));
    }
    let text = run_successfully(&app, &name_server, &["audit", "list"]);
    assert!(text.contains("by COMMAND  member.removed"), "{text}");
}

// R18
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_must_force_the_removal_of_the_last_administrator() {
    let (app, name_server) = (TestApp::start().await, NameServer::start().await);
    let mut ada = app.signed_in("ada").await;
    let remove = ["workspace", "remove-member", "ada@acme.example"];
    let (succeeded, text) = run(&app, &name_server, &remove);
    assert!(!succeeded, "removed without --force");
    assert!(text.contains("this is the last administrator"), "{text}");
    assert!(ada.me().await.is_some());
    let text = run_successfully(
        &app,
        &name_server,
        &[
            "workspace",
            "remove-member",
            "ada@acme.example",
            "--force",
            "--keep-connections",
        ],
    );
    assert!(text.contains("accounts stay connected"), "{text}");
    assert_eq!(ada.me().await, None);
}

// R18: the role of the service can insert and read, but not delete.
#[tokio::test]
async fn the_audit_is_append_only_for_the_service() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await.json();
    let body = json!({ "domain": "acme.co" });
    ada.send_json(Method::POST, "/auth/workspace/domains", &body)
        .await;
    let own = PgPool::connect(&app.database.url(Role::Auth))
        .await
        .unwrap();
    for statement in [
        "UPDATE auth.audit SET target = 'x'",
        "DELETE FROM auth.audit",
        "TRUNCATE auth.audit",
        "SELECT auth.audit_prune(interval '100 days')",
    ] {
        let refused = sqlx::query(statement).execute(&own).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(actions(&app).await.len(), 1);
    // An operator can delete records older than 30 days, and that is recorded.
    let pool = app.database.pool();
    sqlx::query("UPDATE auth.audit SET at = now() - interval '60 days'")
        .execute(pool)
        .await
        .unwrap();
    let young = sqlx::query("SELECT auth.audit_prune(interval '29 days')");
    assert!(young.execute(pool).await.is_err());
    sqlx::query("SELECT auth.audit_prune(interval '30 days')")
        .execute(pool)
        .await
        .unwrap();
    let left = actions(&app).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1, "audit.pruned");
}
