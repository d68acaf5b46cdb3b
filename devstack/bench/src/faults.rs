//! `cargo dev bench faults`: a faulty provider, the responses that its callers get, and whether
//! other callers wait.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};
use latchkey_domain::AccountId;
use tokio::task::JoinSet;
use tonic_types::StatusExt as _;

use crate::load::{self, Measurement, get_token, request};
use crate::machine;
use crate::options::ReportOptions;
use crate::report::{timed_progress, write_result};
use crate::testbed::{Client, Testbed};
use crate::tokens::refresh_svc_program;

/// Number of concurrent callers of accounts whose provider is faulty.
const CALLERS: usize = 20;
/// Deadline of each of these calls.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long other calls are measured.
const LENGTH: Duration = Duration::from_secs(20);
/// Calls per second for valid tokens.
const VALID_RATE: f64 = 500.0;
/// Time between two refreshes of other accounts.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

/// What the provider does, and the faults that cause it.
fn scenarios() -> [(&'static str, Vec<Fault>); 7] {
    let fault = || Fault::on(Endpoint::Token).of(Flavour::Google);
    let always = |fault: Fault| vec![fault.times(u32::MAX)];
    let flapping = (0..1_000).flat_map(|_| [fault(), fault().reset()]);
    let callers = u32::try_from(CALLERS).unwrap_or(u32::MAX);
    [
        ("works", Vec::new()),
        (
            "answers the callers in 29 s",
            vec![fault().delayed_ms(29_000).times(callers)],
        ),
        ("resets connections", always(fault().reset())),
        (
            "answers 200 with HTML",
            always(fault().answering(200, "<html>Welcome")),
        ),
        (
            "answers 502 with HTML",
            always(fault().answering(502, "<html>Bad Gateway")),
        ),
        (
            "answers 429, Retry-After: 120",
            always(fault().answering(429, "").with_header("Retry-After", "120")),
        ),
        ("resets every second request", flapping.collect()),
    ]
}

/// Measures each fault on a new refresh-svc and reports the results.
pub async fn run(options: ReportOptions) -> anyhow::Result<()> {
    let progress = timed_progress(Instant::now());
    let testbed = Testbed::start(&progress).await?;
    let valid = Arc::new(testbed.add_valid(1_000).await?);
    let mut text = format!(
        "{}, load average {:.1}. {CALLERS} callers at once with a deadline of {} s; meanwhile for \
         {} s others, p50 / p99 in ms.\n\n\
         | the provider | its callers get | the last after | valid tokens of it, {VALID_RATE} per second | \
         refreshes at another provider | refreshes of other accounts of it |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        machine::description(),
        machine::load(),
        DEADLINE.as_secs(),
        LENGTH.as_secs(),
    );
    for (name, faults) in scenarios() {
        progress(&format!("the provider {name}"));
        // Other accounts of the provider are only measured if a fault does not refuse their
        // refreshes.
        let measures_others = faults.is_empty() || faults.iter().any(|fault| fault.delay_ms > 0);
        let row = measure(&testbed, &valid, faults, measures_others).await?;
        writeln!(text, "| {name} | {row} |")?;
    }
    write_result("faults", &text, options)
}

async fn measure(
    testbed: &Testbed,
    valid: &Arc<Vec<AccountId>>,
    faults: Vec<Fault>,
    measures_others: bool,
) -> anyhow::Result<String> {
    let service = testbed
        .refresh_svc(&refresh_svc_program()?, "refresh-svc")
        .await?;
    let clients = testbed.connections(service.address, 8).await?;
    // The first refresh of a process reads the provider's discovery document.
    for flavour in [Flavour::Google, Flavour::Oidc] {
        for account in testbed.add_expired(flavour, 1).await? {
            anyhow::ensure!(
                get_token(&clients[0], account).await,
                "no token: {flavour:?}"
            );
        }
    }
    load::get_each_token(&clients, valid, 1).await?;
    let affected = testbed.add_expired(Flavour::Google, CALLERS).await?;
    let each = usize::try_from(LENGTH.as_millis() / REFRESH_EVERY.as_millis())?;
    let of_another = testbed.add_expired(Flavour::Oidc, each).await?;
    let others = if measures_others { each } else { 0 };
    let others = testbed.add_expired(Flavour::Google, others).await?;

    let before = testbed.demo.refreshes(Flavour::Google);
    testbed.demo.forget_faults();
    for fault in faults {
        testbed.demo.inject(fault);
    }
    let callers = tokio::spawn(callers(clients[0].clone(), affected));
    // The faults have reached the callers that they are for.
    while measures_others && testbed.demo.refreshes(Flavour::Google) < before + CALLERS as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (valid, of_another, others) = tokio::try_join!(
        load::open(&clients[1..4], valid, VALID_RATE, LENGTH, 1),
        refresh(&clients[4..6], of_another),
        refresh(&clients[6..8], others),
    )?;
    let (responses, last) = callers.await??;
    testbed.demo.forget_faults();
    let responses: Vec<String> = responses
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    Ok(format!(
        "{} | {:.2} s | {} | {} | {}",
        responses.join(", "),
        last.as_secs_f64(),
        percentiles(&valid),
        percentiles(&of_another),
        percentiles(&others),
    ))
}

fn percentiles(measured: &Measurement) -> String {
    if measured.latencies.is_empty() {
        return "–".to_owned();
    }
    let failed = match measured.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let (p50, p99) = (measured.percentile(50.0), measured.percentile(99.0));
    format!("{p50:.1} / {p99:.1}{failed}")
}

/// Requests the tokens. Returns how often each response came, and when the last one came.
async fn callers(
    client: Client,
    accounts: Vec<AccountId>,
) -> anyhow::Result<(BTreeMap<String, usize>, Duration)> {
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for account in accounts {
        let mut client = client.clone();
        calls.spawn(async move {
            let mut request = tonic::Request::new(request(account));
            request.set_timeout(DEADLINE);
            match client.get_access_token(request).await {
                Ok(_) => "a token".to_owned(),
                Err(status) => status
                    .get_details_error_info()
                    .map_or_else(|| format!("{:?}", status.code()), |info| info.reason),
            }
        });
    }
    let mut responses = BTreeMap::new();
    while let Some(reason) = calls.join_next().await {
        *responses.entry(reason?).or_default() += 1;
    }
    Ok((responses, begun.elapsed()))
}

/// Requests a token of each account once, at a fixed rate.
async fn refresh(clients: &[Client], accounts: Vec<AccountId>) -> anyhow::Result<Measurement> {
    let mut measured = Measurement::empty()?;
    let mut pace = tokio::time::interval(REFRESH_EVERY);
    let mut calls = JoinSet::new();
    for (account, client) in accounts.into_iter().zip(clients.iter().cycle().cloned()) {
        pace.tick().await;
        let started = Instant::now();
        calls.spawn(async move { get_token(&client, account).await.then(|| started.elapsed()) });
    }
    while let Some(call) = calls.join_next().await {
        measured.record(call?);
    }
    Ok(measured)
}
