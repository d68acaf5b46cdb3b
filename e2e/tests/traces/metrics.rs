//! The metrics that the services export over OTLP, compared with what `/metrics` says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use devstack::Stack;
use latchkey_e2e::exposition::Exposition;
use latchkey_testkit::MetricReceiver;

/// What nothing changes any more when the calls have ended, with a label of a series that is not 0.
const COUNTED: [(&str, &str, &str); 8] = [
    ("auth-svc", "latchkey_sign_ins_total", "signed_in"),
    ("auth-svc", "latchkey_flows_started_total", "google"),
    ("auth-svc", "latchkey_database_connections_max", ""),
    ("sync-svc", "latchkey_messages_total", "handled"),
    ("sync-svc", "latchkey_event_lag_seconds", ""),
    ("refresh-svc", "latchkey_refreshes_total", "refreshed"),
    ("refresh-svc", "latchkey_refresh_seconds", "google"),
    ("refresh-svc", "latchkey_token_age_seconds", ""),
];

/// Returns what `/metrics` of each service says, by the names of the services.
pub(crate) async fn scraped(stack: &Stack) -> anyhow::Result<BTreeMap<String, Exposition>> {
    let mut all = BTreeMap::new();
    for (_, service) in stack.services() {
        let url = service.ready_url().replace("/readyz", "/metrics");
        let text = reqwest::get(url).await?.text().await?;
        let name = ["auth-svc", "sync-svc", "refresh-svc"]
            .into_iter()
            .find(|name| service.name().starts_with(name))
            .context("another service")?;
        all.insert(name.to_owned(), Exposition::read(&text)?);
    }
    Ok(all)
}

/// Every family that is not an empty histogram arrived from each service, with its description and
/// all of its series, and with the values of what was counted.
pub(crate) fn arrived(
    receiver: &MetricReceiver,
    scraped: &BTreeMap<String, Exposition>,
) -> anyhow::Result<()> {
    assert_eq!(scraped.len(), 3);
    for (service, exposition) in scraped {
        let families = receiver.families(service);
        for (name, expected) in &exposition.families {
            if expected.kind == "histogram" && exposition.sum(name, "") == 0.0 {
                continue;
            }
            let family = families
                .get(name)
                .with_context(|| format!("no {name} of {service}: {families:#?}"))?;
            assert_eq!(family.kind, expected.kind, "{name}");
            assert_eq!(family.description, expected.help, "{name}");
            if expected.kind != "histogram" {
                let numbers = [expected.series.len(), family.series.len()];
                assert_eq!(
                    numbers[0], numbers[1],
                    "{service}: {expected:#?} {family:#?}"
                );
            }
        }
    }
    for (service, name, label) in COUNTED {
        let expected = &scraped[service].families[name];
        let families = receiver.families(service);
        let family = &families[name];
        let sum = values(&expected.series, label);
        assert!(sum > 0.0, "{name}");
        assert!((sum - values(&family.series, label)).abs() < 1e-6, "{name}");
        assert_eq!(bounds(&expected.series), bounds(&family.series), "{name}");
    }
    Ok(())
}

/// The sum of the series whose names contain this text.
fn values(series: &BTreeMap<String, f64>, text: &str) -> f64 {
    let wanted = series.iter().filter(|(name, _)| name.contains(text));
    wanted.map(|(_, value)| value).sum()
}

/// The bounds of the buckets, each once.
fn bounds(series: &BTreeMap<String, f64>) -> Vec<String> {
    let names = series.keys();
    let bounds = names.filter_map(|name| Some(name.split_once("le=\"")?.1.to_owned()));
    let mut bounds: Vec<_> = bounds.collect();
    bounds.sort();
    bounds.dedup();
    bounds
}
