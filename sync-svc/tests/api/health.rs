use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use latchkey_messaging::BrokerConfig;
use latchkey_messaging::topology::MESSAGING_JOBS_QUEUE;
use latchkey_testkit::eventually;
use serde_json::Value;

use crate::support::person::Person;
use crate::support::service::TestService;

fn check<'a>(answer: &'a Value, name: &str) -> Vec<&'a Value> {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().filter(|it| it["name"] == name).collect()
}

// R15
#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_reports_liveness_version_and_readiness() {
    let mut service = TestService::start().await;
    let (status, body) = service.health("/healthz").await;
    assert_eq!((status, body.contains("alive")), (200, true), "{body}");
    let (status, body) = service.health("/version").await;
    let version: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(version["service"], "sync-svc");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let commit = version["git_commit"].as_str().unwrap_or_default();
    assert!(!commit.is_empty(), "{body}");
    // Later than the first commit.
    let built = version["build_unix_time"].as_u64().unwrap_or_default();
    assert!(built > 1_700_000_000, "{body}");
    eventually("it is ready", async || service.ready().await == 200).await;
    let (_, body) = service.health("/readyz").await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    for name in ["database", "broker"] {
        let found = check(&answer, name);
        assert_eq!(found.len(), 1, "{body}");
        assert_eq!(
            (&found[0]["ready"], &found[0]["required"]),
            (&true.into(), &true.into())
        );
    }
    service.stop_replicas().await;

    // Without a database, and without a broker, it is alive and not ready.
    for (variable, nowhere, missing) in [
        (
            "DATABASE_URL",
            "postgres://nobody:x@127.0.0.1:1/none",
            "database",
        ),
        ("AMQP_URL", "amqp://127.0.0.1:1/%2f", "broker"),
    ] {
        service.start_replica(&[(variable, nowhere)]);
        assert_eq!(service.health("/healthz").await.0, 200);
        let (status, body) = service.health("/readyz").await;
        assert_eq!(status, 503, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(check(&answer, missing)[0]["ready"], false, "{body}");
        service.stop_replicas().await;
    }
}

// R12, R15: an operator gave a queue other limits: it is reported, and nothing stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_reported_at_readiness_and_events_are_handled() {
    let mut service = TestService::start_with(0, &[]).await;
    let connection = BrokerConfig::parse(service.broker.url(), "test")
        .unwrap()
        .connect()
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_delete(MESSAGING_JOBS_QUEUE.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let mut other = FieldTable::default();
    other.insert("x-max-length".into(), AMQPValue::LongLongInt(1_000));
    channel
        .queue_declare(
            MESSAGING_JOBS_QUEUE.into(),
            QueueDeclareOptions::durable(),
            other,
        )
        .await
        .unwrap();
    service.start_replica(&[]);
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    eventually("the job arrives", async || {
        service.waiting(MESSAGING_JOBS_QUEUE).await == 1
    })
    .await;
    eventually("readiness reports it", async || {
        let (status, body) = service.health("/readyz").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let reported = check(&answer, "topology");
        let refused = |check: &&&Value| check["ready"] == false && check["required"] == false;
        status == 200 && reported.iter().filter(refused).count() == 1
    })
    .await;
}
