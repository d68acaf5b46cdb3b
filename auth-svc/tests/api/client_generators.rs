//! What a client generator meets: `/openapi.json` is valid, and the service answers as it says.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use auth_svc::store::workspace::domain::approve_domain;
use latchkey_servers::{install_python, python_program, silent};
use latchkey_testkit::TestCertificates;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::grpc_services::{FakeServices, FakeState};
use crate::support::{NameServer, PUBLIC, TestApp};

/// A run of a tool that takes longer has failed.
const LONGEST_RUN: Duration = Duration::from_secs(150);

/// Operations that end the session with which they are called, or the membership of its person. Each
/// has a session of its own.
const ENDS_THE_SESSION: [(&str, &str); 6] = [
    ("end_session", "grace"),
    ("end_session_by_form", "grace"),
    ("sign_out", "grace"),
    ("sign_out_everywhere", "linus"),
    ("remove_member", "noor"),
    ("remove_member_by_form", "noor"),
];

/// The folder with the tools of PyPI, which are installed once for all runs.
async fn tools() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http-contract");
    let install = move || install_python(&folder, &silent());
    let installed = tokio::task::spawn_blocking(install).await.unwrap();
    installed.expect("openapi-spec-validator and schemathesis of PyPI are needed")
}

async fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(LONGEST_RUN, output).await;
    ended.expect("the tool took too long").unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn the_description_is_valid_openapi() {
    let app = TestApp::start().await;
    let tools = tools().await;
    let document = app.browser().get("/openapi.json").await.body;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &document).unwrap();
    let validator = python_program(&tools, "openapi-spec-validator");
    let output = run(Command::new(&validator).arg(&file)).await;
    assert!(output.status.success(), "{}", text(&output));

    // The validator notices the mistake that the document once had.
    let mut spoilt: Value = serde_json::from_str(&document).unwrap();
    spoilt["paths"]["/auth/me"]["get"]["operationId"] = json!("list_sessions");
    std::fs::write(&file, spoilt.to_string()).unwrap();
    let output = run(Command::new(&validator).arg(&file)).await;
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("list_sessions"), "{}", text(&output));
}

// Generated requests with the session of an administrator: no failure of the service, and every answer
// has a status, a content type and a body that the description has.
#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_are_answered_as_described() {
    let certificates = TestCertificates::create();
    let services = FakeServices::start(&certificates, &FakeState::default()).await;
    let services = format!("https://localhost:{}", services.port);
    let name_server = NameServer::start().await;
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let app = TestApp::start_with(&[
        ("SYNC_GRPC_URL", &services),
        ("TOKEN_GRPC_URL", &services),
        (
            "GRPC_CLIENT_CERT_FILE",
            &path(&certificates.client.certificate),
        ),
        ("GRPC_CLIENT_KEY_FILE", &path(&certificates.client.key)),
        ("GRPC_CLIENT_CA_FILE", &path(&certificates.authority)),
        ("DNS_RESOLVERS", &name_server.address),
        ("RATE_LIMIT_PER_ADDRESS", "0"),
    ])
    .await;
    let pool = app.database.pool();
    for domain in ["globex.example", "berlin.acme.example"] {
        let approved = approve_domain(pool, app.workspace, domain, true).await;
        approved.unwrap();
    }
    let mut ada = app.signed_in("ada").await;
    let mut sessions = json!({ "": ada.session().unwrap() });
    for (operation, person) in ENDS_THE_SESSION {
        sessions[operation] = json!(app.signed_in(person).await.session().unwrap());
    }
    sqlx::query(
        "UPDATE auth.workspace_member SET role = 'ADMIN' WHERE user_id =
             (SELECT id FROM auth.app_user WHERE email = 'noor@berlin.acme.example')",
    )
    .execute(pool)
    .await
    .unwrap();
    assert!(ada.me().await.is_some());

    let tools = tools().await;
    let mut command = Command::new(python_program(&tools, "schemathesis"));
    command
        .current_dir(&tools)
        .args(["run", "--no-color", "--exclude-method", "HEAD"])
        .arg(format!("{}/openapi.json", app.base))
        .env("SESSIONS", sessions.to_string())
        .env("ORIGIN", PUBLIC);
    let output = run(&mut command).await;
    assert!(output.status.success(), "{}", text(&output));

    let me = ada.me().await.expect("Ada is still signed in");
    let members = ada.get("/auth/workspace/members").await.json();
    let mut members = members["members"].as_array().unwrap().iter();
    assert!(members.any(|member| member["userId"] == me["userId"] && member["role"] == "ADMIN"));
}

// RFC 9110 section 15.5.6. The application and its description have the same methods for each path.
#[tokio::test]
async fn a_path_has_the_methods_of_its_description_and_names_them_in_405() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let document = browser.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let name = if path.contains("oidc") {
            "demo"
        } else {
            "google"
        };
        let mut concrete = path.replace("{provider}", name);
        while let Some((before, rest)) = concrete.split_once('{') {
            let rest = rest.split_once('}').unwrap().1;
            concrete = format!("{before}00000000-0000-4000-8000-000000000000{rest}");
        }
        let mut described: Vec<String> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        described.sort_unstable();
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
        ] {
            let response = browser
                .send(Method::from_bytes(method.as_bytes()).unwrap(), &concrete)
                .await;
            let is_described = described.iter().any(|known| known == method);
            assert_eq!(response.status != 405, is_described, "{method} {concrete}");
            if is_described {
                continue;
            }
            let allow = response.headers["allow"].to_str().unwrap();
            let mut allowed: Vec<String> = allow.split(", ").map(str::to_owned).collect();
            allowed.sort_unstable();
            assert_eq!(allowed, described, "{method} {concrete}");
            // A response to HEAD has no body.
            if method != "HEAD" {
                assert_eq!(response.code(), "method_not_allowed", "{method} {concrete}");
            }
        }
    }
}

#[tokio::test]
async fn the_json_api_has_no_pages_whatever_is_wrong() {
    let app = TestApp::start().await;
    let mut ada = app.signed_in("ada").await;
    let json = "application/json";
    // Without `Accept`, with a body of another type, and with faulty bodies and ids.
    for (method, path, kind, body, status, code) in [
        (
            Method::GET,
            "/auth/workspace/nothing",
            json,
            "",
            404,
            "not_found",
        ),
        (
            Method::PATCH,
            "/auth/me",
            json,
            "",
            405,
            "method_not_allowed",
        ),
        (
            Method::POST,
            "/auth/workspace/domains",
            json,
            "{",
            400,
            "invalid_request",
        ),
        (
            Method::POST,
            "/auth/workspace/invitations",
            json,
            "{\"email\":7}",
            400,
            "invalid_request",
        ),
        (
            Method::POST,
            "/auth/workspace/domains",
            "text/plain",
            "{}",
            415,
            "json_needed",
        ),
        (
            Method::POST,
            "/auth/token",
            json,
            "{}",
            400,
            "invalid_request",
        ),
        (
            Method::DELETE,
            "/auth/workspace/invitations/x",
            json,
            "",
            404,
            "not_found",
        ),
        (
            Method::DELETE,
            "/auth/workspace/members/x",
            json,
            "",
            404,
            "not_found",
        ),
        (
            Method::DELETE,
            "/auth/workspace/domains/x..y",
            json,
            "",
            404,
            "not_found",
        ),
        (
            Method::DELETE,
            "/auth/sessions/x",
            json,
            "",
            404,
            "no_such_session",
        ),
    ] {
        let response = ada.send_body(method, path, kind, body.to_owned()).await;
        assert_eq!(
            response.headers["content-type"].to_str().unwrap(),
            "application/json",
            "{path}: {}",
            response.body
        );
        assert_eq!((response.status, response.code().as_str()), (status, code));
    }
    let large = format!("{{\"domain\":\"{}\"}}", "x".repeat(20_000));
    let refused = ada
        .send_body(Method::POST, "/auth/workspace/domains", json, large)
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "request_too_large")
    );
}
