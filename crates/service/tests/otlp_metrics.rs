//! What is exported over OTLP is what `/metrics` says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;

use latchkey_config::Environment;
use latchkey_service::metrics::{install_with, render};
use latchkey_service::telemetry::Settings;
use latchkey_testkit::MetricReceiver;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const SERVICE: &str = "test-svc";

/// The series of `/metrics` whose names begin with `latchkey_`.
fn lines(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| line.starts_with("latchkey_"));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Counts something of each kind. Sums of these values do not depend on their order.
fn count() {
    describe_counter!("latchkey_test_bytes_total", "Bytes by kind and outcome.");
    for (outcome, bytes) in [("read", 2_048), ("refused", 0)] {
        counter!("latchkey_test_bytes_total", "kind" => "mail", "outcome" => outcome)
            .increment(bytes);
    }
    counter!("latchkey_test_bytes_total", "kind" => "mail", "outcome" => "read").increment(512);
    counter!("latchkey_test_clock_total").absolute(7);
    describe_gauge!("latchkey_test_waiters", "Waiters.");
    gauge!("latchkey_test_waiters", "queue" => "none").increment(0);
    let some = gauge!("latchkey_test_waiters", "queue" => "some");
    some.set(40);
    some.increment(3);
    some.decrement(1);
    describe_histogram!("latchkey_test_seconds", "Time by provider.");
    for seconds in [0.25, 0.5, 0.5, 31.0, 4_096.0] {
        histogram!("latchkey_test_seconds", "provider" => "google").record(seconds);
        histogram!("latchkey_token_age_seconds").record(seconds);
    }
}

// R45
#[tokio::test(flavor = "multi_thread")]
async fn every_value_and_bucket_of_metrics_arrives_at_the_receiver() {
    let receiver = MetricReceiver::start();
    let environment: Environment = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", receiver.endpoint()),
        // Whatever arrives was exported by the end.
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
    ]
    .into_iter()
    .collect();
    let settings = Settings::from_environment(&environment).unwrap();
    let telemetry = settings.init(SERVICE).unwrap();
    install_with(telemetry.meter());
    count();
    let text = render();
    telemetry.flush().await;

    let families = receiver.families(SERVICE);
    let arrived = families.values().flat_map(|family| family.series.clone());
    let arrived = arrived.filter(|(series, _)| series.starts_with("latchkey_"));
    let expected = lines(&text);
    assert!(expected.len() > 30, "{text}");
    assert_eq!(arrived.collect::<BTreeMap<_, _>>(), expected);
    for (name, kind, unit, description) in [
        (
            "latchkey_test_bytes_total",
            "counter",
            "By",
            "Bytes by kind and outcome.",
        ),
        ("latchkey_test_waiters", "gauge", "", "Waiters."),
        (
            "latchkey_test_seconds",
            "histogram",
            "s",
            "Time by provider.",
        ),
    ] {
        let family = &families[name];
        assert_eq!(family.kind, kind);
        assert_eq!(family.unit, unit);
        assert_eq!(family.description, description);
        assert!(text.contains(&format!("# HELP {name} {description}\n")));
    }
    let process = &families["process_start_time_seconds"];
    assert_eq!(process.kind, "gauge");
}
