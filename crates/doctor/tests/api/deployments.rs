//! Before and after a deployment.

use latchkey_testkit::{Role, TestBroker, TestDatabase};

use crate::support::{Deployment, assert_cause, assert_healthy, codes};

// R43: the deployment migrates and declares.
#[tokio::test]
async fn before_the_first_deployment_nothing_needs_to_be_there() {
    let deployment = Deployment::start().await;
    let database = TestDatabase::create_empty().await;
    let broker = TestBroker::create().await;
    let url = database.url(Role::Operator);
    let changes = [("DATABASE_URL", url.as_str()), ("AMQP_URL", broker.url())];
    let report = deployment
        .examine_with(&["--before-deploy"], &changes)
        .await;
    assert_healthy(&report);
    // At any other time it does.
    let report = deployment.examine_with(&[], &changes).await;
    assert!(
        codes(&report).contains(&"migrations_unreadable".to_owned()),
        "{report}"
    );
    assert!(
        codes(&report).contains(&"topology_missing".to_owned()),
        "{report}"
    );
}

// R43
#[tokio::test]
async fn before_a_deployment_its_configuration_meets_the_running_world() {
    let deployment = Deployment::start().await;
    let last = latchkey_migrations::MIGRATOR.iter().last().unwrap();
    let forget = format!(
        "DELETE FROM _sqlx_migrations WHERE version = {}",
        last.version
    );
    deployment.sql(&forget).await;
    // What runs has another client id and is not asked.
    assert_healthy(&deployment.examine(&["--before-deploy"]).await);
    let wrong = [("AUTH_GOOGLE_CLIENT_SECRET", "wrong")];
    let report = deployment.examine_with(&["--before-deploy"], &wrong).await;
    assert_cause(&report, "client_credentials", &["Google"], "secret");

    deployment
        .sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99990101000000, 'newer', true, '', 0)",
        )
        .await;
    let report = deployment.examine(&["--before-deploy"]).await;
    assert_cause(&report, "schema_newer", &["99990101000000"], "do not run");
}

// R43: a client id that another one replaces ends the grants of the first.
#[tokio::test]
async fn before_a_deployment_another_client_id_is_noticed_by_the_stored_grants() {
    let deployment = Deployment::start().await;
    let scopes = crate::support::EVERY_SCOPE;
    deployment.person("ada@acme.example", &scopes).await;
    deployment
        .sql("UPDATE vault.credential SET client_id = 'former-client', client_version = version")
        .await;
    let report = deployment.examine(&["--before-deploy"]).await;
    assert_cause(
        &report,
        "client_changed",
        &["1 grant of google"],
        "set the former one again",
    );
}

// R43 R15
#[tokio::test]
async fn after_a_deployment_the_services_run_the_build_of_this_program() {
    let deployment = Deployment::start().await;
    let port = format!("auth-svc={}", deployment.operator_port);
    let arguments = [
        "--after-deploy",
        deployment.entry_point.as_str(),
        "--operator-port",
        port.as_str(),
    ];
    assert_healthy(&deployment.examine(&arguments).await);
    let mut other = arguments.to_vec();
    other.extend(["--deployed", "0123456789abcdef"]);
    let report = deployment.examine(&other).await;
    assert_cause(
        &report,
        "other_build",
        &["auth-svc runs", "0123456789abcdef"],
        "roll-out",
    );
}

// R43
#[tokio::test]
async fn after_a_deployment_a_service_that_does_not_answer_is_named() {
    let deployment = Deployment::start().await;
    let arguments = ["--after-deploy", "http://127.0.0.1:1"];
    let report = deployment.examine(&arguments).await;
    assert_cause(
        &report,
        "service_down",
        &["auth-svc does not answer", "refused"],
        "start auth-svc",
    );
}
