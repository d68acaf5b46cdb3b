//! Alerts, metrics, and scaling by the length of a queue.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::Value;

use crate::facts::with_facts;
use crate::rule::{SERVICES, each, pod_labels, rules, selects, services};
use crate::spoil::{remove, set};

const RULES_OF_PROMETHEUS: &str = "PrometheusRule/latchkey";

rules! {
    every_metric_of_an_alert_is_emitted:
        |r| with_facts(|facts| each_alert(r, |alert| {
            metrics_in(text(alert, "/expr")).iter().all(|name| facts.metrics.contains(name))
        })),
        unless |r| {
            set(r, RULES_OF_PROMETHEUS, "/spec/groups/0/rules/4/expr", "latchkey_circuits > 0")
        };

    every_job_of_an_alert_is_a_service:
        |r| each_alert(r, |alert| {
            let mut jobs = text(alert, "/expr").split("job=\"").skip(1);
            jobs.all(|rest| {
                let job = rest.split('"').next().and_then(|job| job.strip_prefix("latchkey/"));
                job.is_some_and(|job| SERVICES.contains(&job))
            })
        }),
        unless |r| {
            let expression = "up{job=\"latchkey/auth\"} == 0";
            set(r, RULES_OF_PROMETHEUS, "/spec/groups/0/rules/4/expr", expression)
        };

    every_alert_says_how_grave_it_is_and_what_to_do:
        |r| each_alert(r, |alert| {
            ["critical", "warning"].contains(&text(alert, "/labels/severity"))
                && !text(alert, "/annotations/summary").is_empty()
                && !text(alert, "/annotations/description").is_empty()
        }),
        unless |r| remove(r, RULES_OF_PROMETHEUS, "/spec/groups/0/rules/0/annotations/description");

    the_runbook_has_a_section_for_every_alert:
        |r| with_facts(|facts| each_alert(r, |alert| {
            let anchor = text(alert, "/annotations/runbook").strip_prefix("docs/runbook.md#");
            anchor.is_some_and(|anchor| facts.runbook.contains(anchor))
        })),
        unless |r| {
            let place = "/spec/groups/0/rules/0/annotations/runbook";
            set(r, RULES_OF_PROMETHEUS, place, "docs/runbook.md#latchkeyservicegone")
        };

    no_two_alerts_have_one_name:
        |r| each_alert(r, |alert| {
            let same = alerts(r).filter(|other| other["alert"] == alert["alert"]);
            text(alert, "/alert").starts_with("Latchkey") && same.count() == 1
        }),
        unless |r| {
            set(r, RULES_OF_PROMETHEUS, "/spec/groups/0/rules/0/alert", "LatchkeySignInsFail")
        };

    prometheus_reads_the_health_port_of_every_service:
        |r| each(r.of_kind("PodMonitor"), |one| {
            let ends = list(one, "/spec/podMetricsEndpoints");
            ends.len() == 1
                && services(r).all(|w| {
                    let ports = list(w, "/spec/template/spec/containers/0/ports");
                    selects(&one["spec"]["selector"], pod_labels(w))
                        && ends.iter().all(|end| {
                            text(end, "/port") == "health"
                                && ports.iter().any(|port| port["name"] == end["port"])
                        })
                })
        }),
        unless |r| set(r, "PodMonitor/latchkey", "/spec/podMetricsEndpoints/0/port", "http");

    keda_counts_the_messages_of_a_queue_of_latchkey:
        |r| with_facts(|facts| each(r.of_kind("ScaledObject"), |one| {
            let mut triggers = list(one, "/spec/triggers").iter();
            triggers.all(|trigger| {
                let access = text(trigger, "/authenticationRef/name");
                facts.queues.contains(text(trigger, "/metadata/queueName"))
                    && r.get("TriggerAuthentication", access).is_some()
            })
        })),
        unless |r| set(r, "ScaledObject/sync-svc", "/spec/triggers/0/metadata/queueName", "events");

    keda_keeps_the_replicas_while_the_broker_does_not_answer:
        |r| each(r.of_kind("ScaledObject"), |one| {
            one["spec"]["fallback"]["replicas"].as_u64() >= one["spec"]["minReplicaCount"].as_u64()
        }),
        unless |r| remove(r, "ScaledObject/sync-svc", "/spec/fallback/replicas");
}

fn alerts(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    let groups = rendering
        .of_kind("PrometheusRule")
        .flat_map(|one| list(one, "/spec/groups"));
    groups.flat_map(|group| list(group, "/rules"))
}

/// The names of the alerts that are not as they must be.
fn each_alert(rendering: &Rendering, is_right: impl Fn(&Value) -> bool) -> Vec<String> {
    let wrong = alerts(rendering).filter(|alert| !is_right(alert));
    wrong
        .map(|alert| format!("alert {}", alert["alert"]))
        .collect()
}

/// The names of metrics of Latchkey in an expression.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_end = |c: char| !c.is_ascii_lowercase() && c != '_';
    let starts = expression.match_indices("latchkey_");
    let names = starts.filter_map(|(start, _)| expression.get(start..)?.split(is_end).next());
    names.map(str::to_owned).collect()
}
