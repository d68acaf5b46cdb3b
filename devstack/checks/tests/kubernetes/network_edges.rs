//! What the `NetworkPolicies` allow, as edges of a picture: `auth-svc -> sync-svc 50052`.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::Value;

use crate::rule::{label, pod_labels, selects};

/// Name of an application.
const NAME: &str = "app.kubernetes.io/name";

/// The edges that leave pods of Latchkey, without questions to name servers.
pub(crate) fn outgoing(rendering: &Rendering) -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    for (policy, pod) in policies_of_pods(rendering) {
        for rule in list(policy, "/spec/egress") {
            for to in list(rule, "/to").iter().flat_map(|to| peers(to, rule)) {
                if to != "name servers" {
                    edges.insert(format!("{pod} -> {to}"));
                }
            }
        }
    }
    edges
}

/// The edges that arrive at pods of Latchkey.
pub(crate) fn incoming(rendering: &Rendering) -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    for (policy, pod) in policies_of_pods(rendering) {
        for rule in list(policy, "/spec/ingress") {
            for from in list(rule, "/from")
                .iter()
                .flat_map(|from| peers(from, rule))
            {
                // The name of a sender has no port.
                let from = from.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
                for port in ports(rule) {
                    edges.insert(format!("{from} -> {pod} {port}"));
                }
            }
        }
    }
    edges
}

/// Each policy with each application that it selects.
fn policies_of_pods(rendering: &Rendering) -> Vec<(&Value, &str)> {
    let mut pairs = Vec::new();
    for policy in rendering.of_kind("NetworkPolicy") {
        for workload in rendering.workloads() {
            let labels = pod_labels(workload);
            if selects(&policy["spec"]["podSelector"], labels) {
                pairs.push((policy, label(labels, NAME)));
            }
        }
    }
    pairs
}

/// The other ends of a rule, with the ports of those that the picture names with a port.
fn peers(peer: &Value, rule: &Value) -> Vec<String> {
    let ports = ports(rule);
    let pods = &peer["podSelector"]["matchLabels"];
    let namespaces = &peer["namespaceSelector"]["matchLabels"];
    let is = |labels: &Value, name: &str| label(labels, &format!("latchkey.dev/{name}")) == "true";
    let everywhere = ["0.0.0.0/0", "::/0"];
    let server = label(pods, "latchkey.dev/server");
    let name = match (text(peer, "/ipBlock/cidr"), ports.as_slice()) {
        (cidr, [443]) if everywhere.contains(&cidr) => "providers",
        (_, [443, 6443]) => "the Kubernetes API",
        (cidr, [5432]) if !cidr.is_empty() || server == "postgresql" => "PostgreSQL",
        (cidr, [5671, 5672]) if !cidr.is_empty() || server == "rabbitmq" => "RabbitMQ",
        _ if label(pods, "k8s-app") == "kube-dns" => "name servers",
        _ if is(pods, "caller") => "your services",
        _ if is(namespaces, "ingress") => "ingress controller or gateway",
        _ if is(namespaces, "metrics") => "Prometheus",
        (_, [4317]) if is(namespaces, "traces") => "the trace collector",
        _ => "",
    };
    if !name.is_empty() {
        return vec![name.to_owned()];
    }
    let mut names: Vec<_> = list(&peer["podSelector"], "/matchExpressions/0/values")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    names.extend(Some(label(pods, NAME)).filter(|name| !name.is_empty()));
    if names.is_empty() {
        return vec![peer.to_string()];
    }
    names
        .into_iter()
        .flat_map(|name| ports.iter().map(move |port| format!("{name} {port}")))
        .collect()
}

fn ports(rule: &Value) -> Vec<u64> {
    let ports = list(rule, "/ports").iter();
    ports.filter_map(|port| port["port"].as_u64()).collect()
}
