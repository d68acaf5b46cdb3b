use std::collections::BTreeMap;
use std::process::Command;

use latchkey_demo_provider::Decision;
use latchkey_testkit::Role;

use crate::helpers::{PUBLIC, TestApp};

/// Runs a command of the binary; answers whether it succeeded and what it said.
fn run(app: &TestApp, arguments: &[&str]) -> (bool, String) {
    let variables: BTreeMap<&str, String> = [
        ("DATABASE_URL", app.database.url(Role::Auth)),
        ("PUBLIC_URL", PUBLIC.to_owned()),
        (
            "AUTH_ALLOWED_DOMAINS",
            "acme.example,globex.example,acme.co".to_owned(),
        ),
    ]
    .into();
    let output = Command::new(env!("CARGO_BIN_EXE_auth-svc"))
        .arg("workspace")
        .args(arguments)
        .env_clear()
        .envs(variables)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

// R7
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lets_people_in_from_the_command_line() {
    let app = TestApp::start().await;
    assert!(run(&app, &["approve-domain", "Acme.CO"]).0);
    let (done, said) = run(&app, &["invite", "linus@globex.example"]);
    assert!(done, "{said}");
    let link = said.lines().find(|line| line.starts_with(PUBLIC)).unwrap();
    // The link opens the start page, whose buttons carry the invitation on.
    let mut browser = app.browser();
    let page = browser.get(link.strip_prefix(PUBLIC).unwrap()).await;
    let start = page
        .body
        .split('"')
        .find(|text| text.starts_with("/auth/google?"))
        .unwrap()
        .replace("&#38;", "&");
    let answer = app
        .round(&mut browser, &start, &Decision::allow("linus"))
        .await;
    assert_eq!(answer.status, 302, "{}", answer.body);

    let (done, said) = run(&app, &["list"]);
    assert!(
        done && said.contains("members: 1") && said.contains("acme.co,acme.example"),
        "{said}"
    );
    let (done, said) = run(&app, &["public-invite", "on"]);
    assert!(done && said.contains("workspaceInviteHash="), "{said}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_do_is_refused_with_what_to_do_instead() {
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
            "auth-svc workspace list",
        ),
        (&["create", "Other", "--subdomain", "acme"], "taken"),
    ] {
        let (done, said) = run(&app, arguments);
        assert!(!done && said.contains(says), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
