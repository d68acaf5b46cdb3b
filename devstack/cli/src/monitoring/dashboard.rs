//! `cargo dev dashboard`: a picture of the overview dashboard with the values of a real run.

use std::iter;
use std::time::Duration;

use latchkey_checks::dashboards::Dashboard;
use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use latchkey_servers::Progress;
use tokio::time::{Instant, sleep_until};

use super::activity::Activity;
use super::monitor::{Monitor, now};
use super::picture::draw;
use crate::build::workspace;
use crate::stack::{Options, Stack};
use crate::walkthrough::Route;

/// Where the picture is written.
const FILE: &str = "docs/dashboard-overview.svg";
const REPLICAS: usize = 2;
/// How long people and callers are at work.
const RUN: Duration = Duration::from_mins(4);
/// One round of sign-ins and calls.
const ROUND: Duration = Duration::from_secs(1);
/// When the provider begins to fail, and when the malformed message is published.
const OUTAGE_AT: Duration = Duration::from_secs(90);
const MALFORMED_AT: Duration = Duration::from_mins(3);
/// Requests to the failing provider.
const FAILURES: u32 = 40;
const SCRAPED_EVERY: Duration = Duration::from_secs(2);
/// The interval of rates, and the time between two points of a curve.
const RATE: &str = "15s";
const STEP: Duration = Duration::from_secs(3);
/// So short that callers see refreshes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(20);
const ROUTES: [Route; 3] = [Route::GOOGLE, Route::MICROSOFT, Route::OIDC];
const PEOPLE: [&str; 2] = ["ada", "grace"];
/// Who signs in again in each round, after everybody has done it once. A sign-in brings a new token,
/// so the tokens of the others are the ones that are refreshed.
const AGAIN: (&str, Route) = ("ada", Route::OIDC);

/// Runs a stack for some minutes and draws the dashboard.
///
/// # Errors
/// A server or service does not start, a sign-in fails, or the picture cannot be written.
pub async fn run(progress: &Progress) -> anyhow::Result<i32> {
    let mut options = Options {
        progress: progress.clone(),
        access_token_lifetime: TOKEN_LIFETIME,
        ..Options::test()
    }
    .refresh_replicas(REPLICAS)
    .with("QUEUES_CHECKED_EVERY", "2s");
    options.group = "dashboard";
    let stack = Stack::start(options).await?;
    let monitor = Monitor::start(&stack, SCRAPED_EVERY, progress).await?;
    progress(&format!("people and callers are at work for {RUN:?}"));
    let begin = now();
    live(&stack).await?;
    let time = (begin, now());

    let dashboard = Dashboard::read("overview")?;
    let mut values = Vec::with_capacity(dashboard.panels.len());
    for panel in &dashboard.panels {
        let mut of_panel = Vec::with_capacity(panel.targets.len());
        for target in &panel.targets {
            let expression = target.expression(RATE);
            of_panel.push(if panel.kind == "timeseries" {
                monitor.range(&expression, time, STEP).await?
            } else {
                monitor.instant(&expression).await?
            });
        }
        values.push(of_panel);
    }
    tokio::fs::write(workspace().join(FILE), draw(&dashboard, &values, time)).await?;
    progress(&format!("{FILE} is written"));
    Ok(0)
}

/// People sign in and callers ask; for a while a provider fails, and at last somebody publishes a
/// malformed message.
async fn live(stack: &Stack) -> anyhow::Result<()> {
    let mut activity = Activity::start(stack, REPLICAS).await?;
    let begun = Instant::now();
    let mut outage = Some(OUTAGE_AT);
    let mut malformed = Some(MALFORMED_AT);
    let everybody = ROUTES
        .into_iter()
        .flat_map(|route| PEOPLE.map(|person| (person, route)));
    let mut ways = everybody.chain(iter::repeat(AGAIN));
    let mut next = begun;
    let mut round = 0_u32;
    while begun.elapsed() < RUN {
        if outage.take_if(|at| begun.elapsed() >= *at).is_some() {
            let failing = Fault::on(Endpoint::Token)
                .of(Flavour::Google)
                .of_grant("refresh_token");
            stack
                .demo()
                .inject(failing.times(FAILURES).answering(503, ""));
        }
        if malformed.take_if(|at| begun.elapsed() >= *at).is_some() {
            activity.publish_a_malformed_message().await?;
        }
        if let Some((person, route)) = ways.next() {
            activity.sign_in(person, route).await?;
        }
        if round.is_multiple_of(5) {
            activity.decide(Route::OIDC, &Decision::deny()).await?;
            activity
                .decide(Route::GOOGLE, &Decision::allow("linus"))
                .await?;
        }
        for _ in 0..3 {
            activity.ask().await;
        }
        round += 1;
        next += ROUND;
        sleep_until(next).await;
    }
    Ok(())
}
