//! What may talk to what.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::json;

use crate::facts::{Facts, with_facts};
use crate::network_edges::{incoming, outgoing};
use crate::rule::{
    NOTHING, SERVICES, differences, each, fault_unless, label, pod_labels, rules, selects,
};
use crate::spoil::{copy, delete, push, remove, set};

rules! {
    what_no_policy_allows_is_denied:
        |r| {
            let everything = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
            let policy = r.get("NetworkPolicy", "default-deny");
            let denies = policy.is_some_and(|policy| policy["spec"] == everything);
            fault_unless(denies, "there is no policy that denies everything")
        },
        unless |r| delete(r, "NetworkPolicy/default-deny");

    every_pod_may_ask_for_names_by_udp_and_tcp:
        |r| {
            let policy = r.get("NetworkPolicy", "dns").unwrap_or(&NOTHING);
            let ports = list(policy, "/spec/egress/0/ports").iter();
            let protocols: BTreeSet<_> = ports.map(|port| text(port, "/protocol")).collect();
            let is_right = policy["spec"]["podSelector"] == json!({})
                && protocols == BTreeSet::from(["TCP", "UDP"]);
            fault_unless(is_right, "there is no policy for name servers")
        },
        unless |r| remove(r, "NetworkPolicy/dns", "/spec/egress/0/ports/0");

    every_policy_selects_pods:
        |r| each(r.of_kind("NetworkPolicy"), |policy| {
            let selector = &policy["spec"]["podSelector"];
            let labels = &selector["matchLabels"];
            // The pods of operators are not in the manifests.
            let cluster = label(labels, "cnpg.io/cluster");
            r.get("Cluster", cluster).is_some()
                || ["postgresql", "rabbitmq"].contains(&label(labels, "latchkey.dev/server"))
                || r.workloads().any(|w| selects(selector, pod_labels(w)))
        }),
        unless |r| {
            copy(r, "NetworkPolicy/sync-svc")?;
            let name = "/spec/podSelector/matchLabels/app.kubernetes.io~1name";
            set(r, "NetworkPolicy/copy", name, "nobody")
        };

    every_end_of_a_policy_has_ports:
        |r| each(r.of_kind("NetworkPolicy"), |policy| {
            let rules = ["/spec/ingress", "/spec/egress"].map(|place| list(policy, place));
            rules.into_iter().flatten().all(|rule| !list(rule, "/ports").is_empty())
        }),
        unless |r| remove(r, "NetworkPolicy/keda-to-rabbitmq", "/spec/ingress/0/ports");

    no_policy_admits_just_anybody:
        |r| each(r.of_kind("NetworkPolicy"), |policy| {
            list(policy, "/spec/ingress").iter().all(|rule| !list(rule, "/from").is_empty())
        }),
        unless |r| remove(r, "NetworkPolicy/keda-to-rabbitmq", "/spec/ingress/0/from");

    pods_send_exactly_what_the_picture_shows:
        |r| with_facts(|facts| {
            let mut picture = picture(r, facts);
            // What others send is the business of their policies.
            picture.retain(|edge| {
                pods(r).iter().any(|pod| edge.starts_with(&format!("{pod} -> ")))
            });
            differences(&outgoing(r), &picture)
        }),
        unless |r| push(r, "NetworkPolicy/sync-svc", "/spec/egress", json!({
            "to": [{
                "podSelector": { "matchLabels": { "app.kubernetes.io/name": "refresh-svc" } },
            }],
            "ports": [{ "port": 50051 }],
        }));

    pods_receive_exactly_what_the_picture_shows:
        |r| with_facts(|facts| {
            let mut picture = picture(r, facts);
            picture.retain(|edge| pods(r).iter().any(|pod| edge.contains(&format!(" -> {pod} "))));
            differences(&incoming(r), &picture)
        }),
        unless |r| remove(r, "NetworkPolicy/refresh-svc", "/spec/ingress/0");

    providers_are_public_addresses:
        |r| each(r.of_kind("NetworkPolicy"), |policy| {
            let ends = list(policy, "/spec/egress").iter().flat_map(|rule| list(rule, "/to"));
            ends.map(|to| &to["ipBlock"]).all(|block| {
                let excepted = list(block, "/except");
                let private: &[&str] = match text(block, "/cidr") {
                    "0.0.0.0/0" => &PRIVATE_4,
                    "::/0" => &PRIVATE_6,
                    _ => &[],
                };
                private.iter().all(|network| excepted.iter().any(|one| one == network))
            })
        }),
        unless |r| {
            set(r, "NetworkPolicy/auth-svc", "/spec/egress/4/to/0/ipBlock/except", json!([]))
        };

    postgresql_in_the_cluster_admits_what_the_picture_shows:
        |r| {
            let clients = ["migrate", "auth-svc", "sync-svc", "refresh-svc"];
            admits(r, "cnpg", "postgresql", 5432, &clients)
        },
        unless |r| remove(r, "NetworkPolicy/postgresql", CLIENTS);

    rabbitmq_in_the_cluster_admits_what_the_picture_shows:
        |r| admits(r, "rabbitmq-operator", "rabbitmq", 5672, &SERVICES),
        unless |r| remove(r, "NetworkPolicy/rabbitmq", CLIENTS);

    servers_outside_of_the_cluster_are_single_networks:
        |r| each(r.of_kind("NetworkPolicy"), |policy| {
            let ends = list(policy, "/spec/egress").iter().flat_map(|rule| list(rule, "/to"));
            ends.map(|to| text(to, "/ipBlock/cidr")).all(|network| {
                let bits = network.rsplit('/').next().and_then(|bits| bits.parse::<u8>().ok());
                ["", "0.0.0.0/0", "::/0"].contains(&network) || bits >= Some(8)
            })
        }),
        unless |r| {
            let place = "/spec/egress/0/to/0/ipBlock/cidr";
            set(r, "NetworkPolicy/kubernetes-api", place, "10.0.0.0/4")
        };
}

/// The first client of a server in its policy.
const CLIENTS: &str = "/spec/ingress/0/from/0/podSelector/matchExpressions/0/values/0";

/// Networks of RFC 1918, RFC 6598, loopback and link-local addresses.
const PRIVATE_4: [&str; 6] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
];

/// Unique local and link-local addresses.
const PRIVATE_6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// The picture of the README with what the overlay and its components add.
fn picture(rendering: &Rendering, facts: &Facts) -> BTreeSet<String> {
    let mut picture = facts.picture.clone();
    let has = |component: &str| rendering.components.iter().any(|one| one == component);
    if has("caller-tokens") {
        let services = ["sync-svc", "refresh-svc"];
        picture.extend(services.map(|service| format!("{service} -> the Kubernetes API")));
    }
    if has("tracing") {
        picture.extend(SERVICES.map(|service| format!("{service} -> the trace collector")));
    }
    if rendering.overlay == "dev" {
        let services = ["auth-svc", "refresh-svc"];
        picture.extend(services.map(|service| format!("{service} -> demo-provider 8443")));
    }
    picture
}

/// The names of the pods of Latchkey.
fn pods(rendering: &Rendering) -> BTreeSet<&str> {
    let workloads = rendering.workloads();
    workloads
        .map(|one| label(pod_labels(one), "app.kubernetes.io/name"))
        .collect()
}

/// Compares the clients that the policy of a server admits at a port, if the component with the
/// server is there.
fn admits(
    rendering: &Rendering,
    component: &str,
    policy: &str,
    port: u64,
    clients: &[&str],
) -> Vec<String> {
    if !rendering.components.iter().any(|one| one == component) {
        return Vec::new();
    }
    let policy = rendering.get("NetworkPolicy", policy);
    let rules = list(policy.unwrap_or(&NOTHING), "/spec/ingress").iter();
    let admitted = rules
        .filter(|rule| list(rule, "/ports").iter().any(|one| one["port"] == port))
        .flat_map(|rule| list(rule, "/from"))
        .flat_map(|from| list(from, "/podSelector/matchExpressions/0/values"))
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let clients = clients.iter().map(|&client| client.to_owned()).collect();
    differences(&admitted, &clients)
}
