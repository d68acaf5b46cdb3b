//! Debian's Prometheus reads the three services with the configuration that operators get: every
//! query of the dashboards has data, and every rule can be evaluated (R45).

use std::collections::BTreeSet;
use std::time::Duration;

use devstack::monitoring::{Activity, Monitor, Series, now};
use devstack::walkthrough::Route;
use devstack::{Options, Stack};
use latchkey_checks::dashboards;
use latchkey_demo_provider::Decision;
use latchkey_e2e::{eventually, run};
use latchkey_servers::silent;

const REPLICAS: usize = 2;
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval of rates: several times that of reading.
const RATE: &str = "10s";

/// Whether there is a number.
fn has_data(found: &[Series]) -> bool {
    found.iter().any(|series| series.last().is_some())
}

/// What the services count: sign-ins that are finished and refused, tokens, refreshes, a dead
/// grant, a parked message.
async fn live(stack: &Stack) -> anyhow::Result<()> {
    let mut activity = Activity::start(stack, REPLICAS).await?;
    activity.sign_in("ada", Route::GOOGLE).await?;
    activity.sign_in("ada", Route::OIDC).await?;
    activity.sign_in("grace", Route::MICROSOFT).await?;
    activity.decide(Route::GOOGLE, &Decision::deny()).await?;
    let stranger = Decision::allow("linus");
    activity.decide(Route::MICROSOFT, &stranger).await?;
    assert_eq!(activity.ask().await, 3 * REPLICAS);
    activity.refresh_at_once().await?;
    activity.revoke_a_grant().await?;
    activity.publish_a_malformed_message().await
}

/// Every query of every panel has a number, at the latest after some more intervals.
async fn every_panel_has_data(monitor: &Monitor, begin: f64) -> anyhow::Result<()> {
    for dashboard in dashboards::all()? {
        for panel in dashboard.queries() {
            for target in &panel.targets {
                let expression = target.expression(RATE);
                let what = format!("{}, {}: {expression}", dashboard.title, panel.title);
                eventually(&what, async || {
                    let found = if panel.kind == "timeseries" {
                        monitor.range(&expression, (begin, now()), INTERVAL).await?
                    } else {
                        monitor.instant(&expression).await?
                    };
                    Ok(has_data(&found).then_some(()))
                })
                .await?;
            }
        }
    }
    Ok(())
}

/// The names of metrics and of recorded series in an expression.
fn names_in(expression: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(|c: char| !is_part(c));
    words
        .filter(|word| word.starts_with("latchkey") && *word != "latchkey")
        .filter(|word| word.contains(['_', ':']))
        .collect()
}

/// The metrics with the outcomes that expressions name, as selectors.
fn outcomes_in(expression: &str) -> BTreeSet<String> {
    let mut selectors = BTreeSet::new();
    let uses = expression.match_indices("{outcome=~\"");
    for (at, start) in uses {
        let (before, rest) = expression.split_at(at);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let metric = before
            .rsplit(|c: char| !is_part(c))
            .next()
            .unwrap_or_default();
        let rest = rest.strip_prefix(start).unwrap_or_default();
        let list = rest.split('"').next().unwrap_or_default();
        let named = list.split('|');
        selectors.extend(named.map(|outcome| format!("{metric}{{outcome=\"{outcome}\"}}")));
    }
    selectors
}

/// Every rule was evaluated without an error, and what it reads exists.
async fn every_rule_works(monitor: &Monitor) -> anyhow::Result<()> {
    let rules = eventually("rules that were evaluated", async || {
        let rules = monitor.rules().await?;
        let evaluated = rules.iter().all(|rule| rule.health != "unknown");
        Ok((evaluated && !rules.is_empty()).then_some(rules))
    })
    .await?;
    let mut read = BTreeSet::new();
    for rule in &rules {
        let error = &rule.last_error;
        assert_eq!(rule.health, "ok", "{}: {error}", rule.name);
        read.extend(names_in(&rule.query).into_iter().map(str::to_owned));
        read.extend(outcomes_in(&rule.query));
    }
    assert!(read.len() > 30, "{read:#?}");
    for name in read {
        eventually(&name, async || {
            let found = monitor.instant(&format!("count({name})")).await?;
            Ok(has_data(&found).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Exactly this alert fires.
async fn only_fires(monitor: &Monitor, name: &str) -> anyhow::Result<()> {
    eventually(name, async || {
        let firing = monitor.instant("ALERTS{alertstate=\"firing\"}").await?;
        let names: Vec<_> = firing
            .iter()
            .filter_map(|series| series.labels.get("alertname"))
            .collect();
        anyhow::ensure!(names.iter().all(|one| *one == name), "{names:?} fire");
        Ok((!names.is_empty()).then_some(()))
    })
    .await
}

// R45
#[test]
fn every_panel_has_data_every_rule_works_and_a_parked_message_is_an_alert() -> anyhow::Result<()> {
    run(async {
        let options = Options::test()
            .refresh_replicas(REPLICAS)
            .with("QUEUES_CHECKED_EVERY", "1s");
        let stack = Stack::start(options).await?;
        let monitor = Monitor::start(&stack, INTERVAL, &silent()).await?;
        let begin = now();
        eventually("the first values", async || {
            let found = monitor.instant("count(latchkey_build_info)").await?;
            let services = found.first().and_then(Series::last);
            Ok((services == Some(4.0)).then_some(()))
        })
        .await?;
        live(&stack).await?;
        every_panel_has_data(&monitor, begin).await?;
        every_rule_works(&monitor).await?;
        only_fires(&monitor, "LatchkeyEventsParked").await
    })
}
