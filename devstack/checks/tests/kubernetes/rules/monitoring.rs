//! Alerts, metrics, dashboards, and scaling by the length of a queue.

use std::collections::BTreeSet;

use latchkey_checks::dashboards::NAMES;
use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::Value;

use crate::facts::with_facts;
use crate::rule::{
    SERVICES, dashboards, each, fault_unless, label, pod_labels, rules, selects, services,
};
use crate::spoil::{at, delete, push, remove, set};

const RULES_OF_PROMETHEUS: &str = "PrometheusRule/latchkey";

rules! {
    every_metric_of_an_alert_is_emitted:
        |r| with_facts(|facts| each_rule(r, |rule| {
            metrics_in(text(rule, "/expr")).iter().all(|name| facts.metrics.contains(name))
        })),
        unless |r| {
            set(r, RULES_OF_PROMETHEUS, "/spec/groups/1/rules/4/expr", "latchkey_circuits > 0")
        };

    every_job_of_an_alert_is_a_service:
        |r| each_rule(r, |rule| {
            let mut jobs = text(rule, "/expr").split("job=\"").skip(1);
            jobs.all(|rest| {
                let job = rest.split('"').next().and_then(|job| job.strip_prefix("latchkey/"));
                job.is_some_and(|job| SERVICES.contains(&job))
            })
        }),
        unless |r| {
            let expression = "up{job=\"latchkey/auth\"} == 0";
            set(r, RULES_OF_PROMETHEUS, "/spec/groups/1/rules/4/expr", expression)
        };

    every_alert_says_how_grave_it_is_and_what_to_do:
        |r| each_alert(r, |alert| {
            ["critical", "warning"].contains(&text(alert, "/labels/severity"))
                && !text(alert, "/annotations/summary").is_empty()
                && !text(alert, "/annotations/description").is_empty()
        }),
        unless |r| remove(r, RULES_OF_PROMETHEUS, "/spec/groups/1/rules/0/annotations/description");

    the_runbook_has_a_section_for_every_alert:
        |r| with_facts(|facts| each_alert(r, |alert| {
            let url = text(alert, "/annotations/runbook_url").strip_prefix("https://");
            let anchor = url.and_then(|url| url.split_once("/runbook.md#"));
            let name = text(alert, "/alert").to_lowercase();
            anchor.is_some_and(|(_, anchor)| {
                anchor == name && facts.runbook.contains(anchor)
            })
        })),
        unless |r| {
            let place = "/spec/groups/1/rules/0/annotations/runbook_url";
            set(r, RULES_OF_PROMETHEUS, place, "https://a.example/runbook.md#latchkeyservicegone")
        };

    no_two_alerts_have_one_name:
        |r| each_alert(r, |alert| {
            let same = alerts(r).filter(|other| other["alert"] == alert["alert"]);
            text(alert, "/alert").starts_with("Latchkey") && same.count() == 1
        }),
        unless |r| {
            let first = at(r, RULES_OF_PROMETHEUS, "/spec/groups/1/rules/0")?.clone();
            push(r, RULES_OF_PROMETHEUS, "/spec/groups/1/rules", first)
        };

    grafana_finds_every_dashboard:
        |r| each(dashboards(r), |map| {
            let files = map["data"].as_object();
            label(&map["metadata"]["labels"], "grafana_dashboard") == "1"
                && files.is_some_and(|files| files.values().all(is_dashboard))
        }),
        unless |r| {
            remove(r, "ConfigMap/grafana-dashboard-events", "/metadata/labels/grafana_dashboard")
        };

    dashboards_are_delivered_together:
        |r| {
            let count = dashboards(r).count();
            let is_wanted = r.components.iter().any(|one| one == "grafana");
            let wanted = if is_wanted { NAMES.len() } else { 0 };
            fault_unless(count == wanted, "not every dashboard is there")
        },
        unless |r| delete(r, "ConfigMap/grafana-dashboard-events");

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

/// Every rule of Prometheus.
fn rules_of_prometheus(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    let groups = rendering
        .of_kind("PrometheusRule")
        .flat_map(|one| list(one, "/spec/groups"));
    groups.flat_map(|group| list(group, "/rules"))
}

/// The rules that are alerts.
fn alerts(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    rules_of_prometheus(rendering).filter(|rule| rule["alert"].is_string())
}

/// The names of the rules that are not as they must be.
fn each_rule(rendering: &Rendering, is_right: impl Fn(&Value) -> bool) -> Vec<String> {
    let wrong = rules_of_prometheus(rendering).filter(|rule| !is_right(rule));
    wrong
        .map(|rule| format!("rule {}{}", text(rule, "/alert"), text(rule, "/record")))
        .collect()
}

/// The names of the alerts that are not as they must be.
fn each_alert(rendering: &Rendering, is_right: impl Fn(&Value) -> bool) -> Vec<String> {
    let wrong = alerts(rendering).filter(|alert| !is_right(alert));
    wrong
        .map(|alert| format!("alert {}", alert["alert"]))
        .collect()
}

/// Whether a file of a ConfigMap is a dashboard.
fn is_dashboard(file: &Value) -> bool {
    let text = file.as_str().unwrap_or("");
    let dashboard: Value = serde_json::from_str(text).unwrap_or_default();
    dashboard["uid"].is_string() && dashboard["panels"].is_array()
}

/// The names of metrics of Latchkey in an expression, those of histograms without the end that
/// names a series.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_end = |c: char| !c.is_ascii_lowercase() && c != '_';
    let starts = expression.match_indices("latchkey_");
    let names = starts.filter_map(|(start, _)| expression.get(start..)?.split(is_end).next());
    names
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned())
        .collect()
}
