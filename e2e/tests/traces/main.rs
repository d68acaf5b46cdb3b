//! Traces, logs and metrics of the whole system (R45).

mod metrics;
mod secrets;
mod span_tree;

use std::time::Duration;

use anyhow::Context as _;
use devstack::message_recorder::MessageRecorder;
use devstack::walkthrough::{Route, get_access_token, selector};
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::Decision;
use latchkey_e2e::{EVENT_TIMEOUT, account, run, sign_in};
use latchkey_messaging::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE, JobQueue, SYNC_SVC_QUEUE};
use latchkey_proto::token::RefreshAccessTokenRequest;
use latchkey_testkit::{MetricReceiver, TestCertificates, TraceReceiver};

use span_tree::SpanTree;

const HANDLE: &str = "ada@acme.example";

/// The trace and the span of a service that calls refresh-svc.
const CALLER_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";

const SERVICES: [ServiceId; 3] = [ServiceId::Auth, ServiceId::Sync, ServiceId::Refresh(0)];

// R45
#[test]
fn one_trace_goes_from_the_callback_to_the_job_and_one_from_a_caller_to_the_provider()
-> anyhow::Result<()> {
    run(async {
        let certificates = TestCertificates::create();
        let receiver = TraceReceiver::start_with_tls(&certificates.server);
        let metrics = MetricReceiver::start_with_tls(&certificates.server);
        let options = Options::test()
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())
            .with("SSL_CERT_FILE", certificates.authority.to_string_lossy())
            // Whatever arrives was exported by a service that stopped.
            .with("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .with("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", metrics.endpoint())
            .with("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
        let mut stack = Stack::start(options).await?;
        let mut recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        sign_in(&stack, Route::GOOGLE.path, &Decision::allow("ada")).await?;
        let account = account(&stack, Route::GOOGLE.provider, HANDLE).await?;
        let key = JobQueue::Messaging.routing_key();
        let job = recorder
            .wait_for("a job", EVENT_TIMEOUT, |seen| seen.routing_key == key)
            .await?;
        let mut tokens = stack.tokens(0).await?;
        let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
        let mut request = tonic::Request::new(RefreshAccessTokenRequest {
            account: Some(selector(account.id)),
            refused_version: token.version,
            claims: String::new(),
        });
        let traceparent = format!("00-{CALLER_TRACE}-{CALLER_SPAN}-01");
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", traceparent.parse()?);
        tokens.refresh_access_token(request).await?;
        let scraped = metrics::scraped(&stack).await?;
        for id in SERVICES {
            stack.service(id)?.stop();
        }

        let tree = SpanTree::of(receiver.spans());
        let callback = tree.span("auth-svc", "GET /auth/{provider}/redirect")?;
        shows_the_sign_in(&tree, &callback.span_id, &job.traceparent)?;
        shows_the_refresh(&tree)?;
        has_its_ids_in_the_log(&mut stack, &tree)?;
        metrics::arrived(&metrics, &scraped)?;
        show(&tree, &callback.trace_id);
        Ok(())
    })
}

/// Callback → provider and SQL → publication → consumer → SQL → publication of the job.
fn shows_the_sign_in(tree: &SpanTree, callback: &str, job: &str) -> anyhow::Result<()> {
    let callback = tree.by_id(callback)?;
    assert_eq!(
        (callback.kind.as_str(), &*callback.parent_id),
        ("server", "")
    );
    assert_eq!(callback.attribute("http.request.method"), "GET");
    assert_eq!(
        callback.attribute("http.route"),
        "/auth/{provider}/redirect"
    );
    assert_eq!(callback.attribute("http.response.status_code"), "302");
    assert_eq!(callback.attribute("url.scheme"), "http");

    let exchange = tree.below(callback, |span| span.name == "POST")?;
    assert_eq!(
        (&*exchange.service, &*exchange.kind),
        ("auth-svc", "client")
    );
    assert_eq!(exchange.attribute("http.response.status_code"), "200");
    assert!(exchange.attribute("url.full").ends_with("/token"));
    assert!(!exchange.attribute("server.port").is_empty());

    let written = tree.below(callback, |span| span.name == "INSERT auth.outbox")?;
    assert_eq!((&*written.service, &*written.kind), ("auth-svc", "client"));
    assert_eq!(written.attribute("db.system.name"), "postgresql");
    assert_eq!(written.attribute("db.query.summary"), written.name);
    assert_eq!(written.attribute("db.namespace"), "latchkey");

    let event = "user.authenticated.v1";
    let destination = format!("{EVENTS_EXCHANGE}:{event}");
    let name = format!("publish {destination}");
    let published = tree.below(callback, |span| span.name == name)?;
    assert_eq!(
        (&*published.service, &*published.kind),
        ("auth-svc", "producer")
    );
    assert_eq!(published.parent_id, written.parent_id);
    for (attribute, value) in [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.name", "publish"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", &destination),
        ("messaging.rabbitmq.destination.routing_key", event),
        ("cloudevents.event_type", event),
    ] {
        assert_eq!(published.attribute(attribute), value, "{attribute}");
    }

    let destination = format!("{destination}:{SYNC_SVC_QUEUE}");
    let processed = tree.span("sync-svc", &format!("process {destination}"))?;
    assert_eq!(processed.kind, "consumer");
    assert_eq!(processed.parent_id, published.span_id);
    for (attribute, value) in [
        ("messaging.system", "rabbitmq"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", &destination),
        ("messaging.rabbitmq.destination.routing_key", event),
        (
            "messaging.message.id",
            published.attribute("messaging.message.id"),
        ),
    ] {
        assert_eq!(processed.attribute(attribute), value, "{attribute}");
    }
    tree.below(processed, |span| span.name == "INSERT sync.sync_job")?;

    let key = JobQueue::Messaging.routing_key();
    let name = format!("publish {JOBS_EXCHANGE}:{key}");
    let queued = tree.below(processed, |span| span.name == name)?;
    assert_eq!((&*queued.service, &*queued.kind), ("sync-svc", "producer"));
    // A sync worker continues the trace.
    assert_eq!(
        job,
        format!("00-{}-{}-01", callback.trace_id, queued.span_id)
    );

    let trace = tree.trace(&callback.trace_id);
    assert!(trace.iter().all(|span| !span.is_error), "{trace:#?}");
    let roots = trace.iter().filter(|span| span.parent_id.is_empty());
    assert_eq!(roots.count(), 1);
    Ok(())
}

/// A caller's span → refresh-svc → SQL and the provider.
fn shows_the_refresh(tree: &SpanTree) -> anyhow::Result<()> {
    let method = "latchkey.token.v1.TokenService/RefreshAccessToken";
    let called = tree.span("refresh-svc", method)?;
    assert_eq!(called.trace_id, CALLER_TRACE);
    assert_eq!(called.parent_id, CALLER_SPAN);
    assert_eq!(called.kind, "server");
    assert_eq!(called.attribute("rpc.system.name"), "grpc");
    assert_eq!(called.attribute("rpc.method"), method);
    assert_eq!(called.attribute("rpc.response.status_code"), "OK");
    let refreshed = tree.below(called, |span| span.name == "POST")?;
    assert_eq!(refreshed.kind, "client");
    assert!(refreshed.attribute("url.full").ends_with("/token"));
    // Calls share these statements.
    tree.below(called, |span| span.name == "SELECT vault.credential")?;
    let spans = tree.trace(&called.trace_id);
    let written = spans
        .iter()
        .filter(|span| span.name.contains("UPDATE vault.credential"));
    assert_eq!(written.count(), 2, "the lease and the new tokens");
    Ok(())
}

/// The log line of the refresh names a span of the caller's trace.
fn has_its_ids_in_the_log(stack: &mut Stack, tree: &SpanTree) -> anyhow::Result<()> {
    let log = std::fs::read_to_string(stack.service(ServiceId::Refresh(0))?.log())?;
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["message"] == "token refreshed")
        .context("no line about the refresh")?;
    assert_eq!(line["trace_id"], CALLER_TRACE);
    let span = tree.by_id(line["span_id"].as_str().unwrap_or_default())?;
    assert_eq!(span.trace_id, CALLER_TRACE);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "docs/operate.md shows these lines")]
fn show(tree: &SpanTree, sign_in: &str) {
    println!("{}\n{}", tree.text(sign_in), tree.text(CALLER_TRACE));
}
