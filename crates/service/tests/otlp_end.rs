//! A receiver that does not answer does not keep a service from ending.

use std::net::TcpListener;

use latchkey_config::Environment;
use latchkey_service::metrics::install_with;
use latchkey_service::telemetry::Settings;
use latchkey_testkit::PATIENCE;

// R45
#[tokio::test(flavor = "multi_thread")]
async fn the_last_export_ends_although_the_receiver_does_not_answer() {
    // The kernel accepts connections to it, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment: Environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("LOG_FORMAT", "text"),
    ]
    .into_iter()
    .collect();
    let settings = Settings::from_environment(&environment).unwrap();
    let telemetry = settings.init("test-svc").unwrap();
    install_with(telemetry.meter());
    metrics::counter!("latchkey_test_total").increment(1);
    tracing::info_span!("a span that cannot be exported").in_scope(|| {});
    tokio::time::timeout(PATIENCE, telemetry.flush())
        .await
        .unwrap();
}
