//! `latchkey workspace`: what it changes is what sign-ins meet.

use latchkey_demo_provider::Decision;
use latchkey_testkit::Role;
use serde_json::Value;

use crate::support::{NameServer, PUBLIC, TestApp, latchkey};

/// Runs a command and returns whether it succeeded, and its output.
fn run(app: &TestApp, arguments: &[&str]) -> (bool, String) {
    run_with(app, arguments, "127.0.0.1:1")
}

fn run_with(app: &TestApp, arguments: &[&str], resolver: &str) -> (bool, String) {
    let variables = [
        ("DNS_RESOLVERS", resolver.to_owned()),
        // With the role of a person: it may do all of this.
        ("DATABASE_URL", app.database.url(Role::Operator)),
        ("PUBLIC_URL", PUBLIC.to_owned()),
        (
            "AUTH_ALLOWED_DOMAINS",
            "acme.example,globex.example,acme.co".to_owned(),
        ),
    ];
    latchkey(&[&["workspace"], arguments].concat(), &variables)
}

// R7
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_approves_domains_and_invites_from_the_command_line() {
    let app = TestApp::start().await;
    assert!(run(&app, &["approve-domain", "Acme.CO"]).0);
    let (succeeded, text) = run(&app, &["invite", "linus@globex.example"]);
    assert!(succeeded, "{text}");
    let link = text.lines().find(|line| line.starts_with(PUBLIC)).unwrap();
    // The link opens the start page, whose buttons keep the invitation.
    let mut browser = app.browser();
    let page = browser.get(link.strip_prefix(PUBLIC).unwrap()).await;
    let start = page
        .body
        .split('"')
        .find(|text| text.starts_with("/auth/review/google?"))
        .unwrap()
        .replace("&#38;", "&");
    let page = browser.get(&start).await;
    let form = page.form("/auth/review/google/continue");
    let provider = browser.submit(&form).await.refresh_url();
    let callback = app.decide(&provider, &Decision::allow("linus")).await;
    let response = browser.get(&callback).await;
    assert_eq!(response.status, 302, "{}", response.body);

    let (succeeded, text) = run(&app, &["list"]);
    assert!(
        succeeded && text.contains("members: 1") && text.contains("acme.co,acme.example"),
        "{text}"
    );
    let (succeeded, text) = run(&app, &["public-invite", "on"]);
    assert!(succeeded && text.contains("workspaceInviteHash="), "{text}");
    assert!(run(&app, &["public-invite", "off"]).0);
    assert!(run(&app, &["create", "Globex", "--subdomain", "globex"]).0);
    assert!(
        run(
            &app,
            &["approve-domain", "globex.example", "--workspace", "globex"]
        )
        .0
    );
}

// R7 R8
#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_domain_needs_proof_and_an_approval_by_the_operator_does_not() {
    let (app, name_server) = (TestApp::start().await, NameServer::start().await);
    let json = |arguments: &[&str]| {
        let (succeeded, text) = run_with(
            &app,
            &[&["--json"], arguments].concat(),
            &name_server.address,
        );
        assert!(succeeded, "{arguments:?}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let pending = json(&["add-domain", "globex.example"]);
    let published = |claim: &Value| {
        name_server.publish(
            claim["recordName"].as_str().unwrap(),
            claim["recordValue"].as_str().unwrap(),
        );
    };
    let (succeeded, text) = run_with(
        &app,
        &["verify-domain", "globex.example"],
        &name_server.address,
    );
    assert!(
        !succeeded && text.contains("no TXT record _latchkey.globex.example"),
        "{text}"
    );
    published(&pending);
    let verified = json(&["verify-domain", "globex.example"]);
    assert_eq!(verified["approvedBy"], "DNS");

    json(&["add-domain", "initech.example"]);
    let link = json(&["verification-link", "hostmaster@initech.example"]);
    let link = link["link"].as_str().unwrap().strip_prefix(PUBLIC).unwrap();
    let page = app.browser().get(link).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let forced = json(&["approve-domain", "gmail.com", "--force"]);
    assert_eq!(forced["approvedBy"], "OPERATOR");
    let domains = json(&["domains"]);
    let status = |i: usize| domains[i]["status"].as_str().unwrap().to_owned();
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["APPROVED", "APPROVED", "APPROVED", "PENDING"],
        "{domains}"
    );

    let host = json(&["custom-domain", "add", "app.customer.example"]);
    published(&host);
    json(&["custom-domain", "verify", "app.customer.example"]);
    assert_eq!(json(&["list"])[0]["customDomain"], "app.customer.example");
    json(&["custom-domain", "remove"]);
    json(&["custom-domain", "approve", "app.customer.example"]);

    app.signed_in("ada").await;
    assert_eq!(json(&["members"])[0]["role"], "ADMIN");
    let (succeeded, text) = run(&app, &["role", "ada@acme.example", "member"]);
    assert!(
        succeeded && text.contains("warning: nobody administers"),
        "{text}"
    );
    assert_eq!(json(&["members"])[0]["role"], "MEMBER");
    assert_eq!(
        json(&["role", "ada@acme.example", "admin"])["administrators"],
        1
    );
    let invited = json(&["invite", "noor@acme.co"]);
    let id = invited["id"].as_str().unwrap();
    assert_eq!(json(&["invitations"])[0]["id"], id);
    json(&["revoke-invitation", id]);
    assert_eq!(json(&["invitations"])[0]["status"], "REVOKED");
    let (succeeded, text) = run(&app, &["public-invite", "rotate"]);
    assert!(!succeeded && text.contains("is off"), "{text}");
    let on = json(&["public-invite", "on"]);
    // Again: it does not end the link that was printed.
    assert_eq!(json(&["public-invite", "on"])["link"], Value::Null);
    let link = on["link"].as_str().unwrap().strip_prefix(PUBLIC).unwrap();
    let page = app.browser().get(link).await;
    assert!(page.body.contains("workspaceInviteHash"), "{}", page.body);
    assert_ne!(json(&["public-invite", "rotate"])["link"], on["link"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_says_what_to_do_instead() {
    let app = TestApp::start().await;
    for (arguments, says) in [
        (
            &["approve-domain", "gmail.com"][..],
            "invite people instead",
        ),
        (&["approve-domain", "*.acme.example"], "must be a domain"),
        (&["invite", "eve@mail.example"], "AUTH_ALLOWED_DOMAINS"),
        (
            &["approve-domain", "acme.co", "--workspace", "nowhere"],
            "latchkey workspace list",
        ),
        (&["create", "Other", "--subdomain", "acme"], "taken"),
        (&["add-domain", "web.de"], "approve-domain --force"),
        (&["verify-domain", "acme.co"], "add it first"),
        (&["verification-link", "ada@acme.co"], "postmaster"),
        (
            &["verification-link", "admin@acme.co"],
            "add-domain acme.co",
        ),
        (
            &["custom-domain", "add", "x.auth.test.example"],
            "this deployment's own",
        ),
        (&["role", "nobody@acme.example", "admin"], "is not a member"),
    ] {
        let (succeeded, text) = run(&app, arguments);
        assert!(!succeeded && text.contains(says), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
