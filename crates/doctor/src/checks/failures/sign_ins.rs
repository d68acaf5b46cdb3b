//! How sign-ins ended at each replica of auth-svc whose operator's port is given, by the counter
//! `latchkey_sign_ins_total` of its `/metrics`. The counter begins with the process, so that an
//! outcome may be an old one: it is shown, and is no finding.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::service::{OperatorPort, Service};
use crate::world::{Mode, World};

const COUNTER: &str = "latchkey_sign_ins_total{";

/// A line for each replica.
pub(super) async fn look(world: &World) -> Vec<String> {
    if world.mode == Mode::BeforeDeploy {
        return Vec::new();
    }
    let ports = world.operator_ports.iter();
    let ports = ports.filter(|port| port.service == Service::Auth);
    let lines = join_all(ports.map(|port| line(world, port))).await;
    lines.into_iter().flatten().collect()
}

/// `None` if there is no answer, which the check of the versions reports.
async fn line(world: &World, port: &OperatorPort) -> Option<String> {
    let url = port.url.join("/metrics").ok()?;
    let response = world.http.get(url).send().await.ok()?;
    let counts = outcomes(&response.text().await.ok()?);
    let counts: Vec<String> = counts
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let counts = if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    };
    Some(format!("sign-ins since auth-svc started: {counts}"))
}

/// The outcomes that occurred, over all providers.
fn outcomes(metrics: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in metrics.lines() {
        if let Some((outcome, count)) = outcome(line)
            && count > 0
        {
            *counts.entry(outcome).or_default() += count;
        }
    }
    counts
}

/// The outcome and the number of a line of the counter.
fn outcome(line: &str) -> Option<(String, u64)> {
    let (labels, value) = line.strip_prefix(COUNTER)?.split_once("} ")?;
    let label = |label: &str| {
        let value = label.strip_prefix("outcome=\"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    // An exemplar may follow the value.
    let count = value.split(' ').next()?.parse().ok()?;
    Some((labels.split(',').find_map(label)?, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_added_over_the_providers_and_zeros_are_left_out() {
        let metrics = "# TYPE latchkey_sign_ins_total counter\n\
                       latchkey_sign_ins_total{provider=\"google\",outcome=\"signed_in\"} 2\n\
                       latchkey_sign_ins_total{provider=\"microsoft\",outcome=\"signed_in\"} 3 # {} 1\n\
                       latchkey_sign_ins_total{provider=\"google\",outcome=\"internal\"} 0\n\
                       latchkey_http_requests_total{outcome=\"other\"} 7\n";
        let expected = BTreeMap::from([("signed_in".to_owned(), 5)]);
        assert_eq!(outcomes(metrics), expected);
    }
}
