//! Routes to auth-svc, and the certificates of the services.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::{Value, json};

use crate::rule::{each, rules};
use crate::spoil::set;

use super::objects::namespace;

rules! {
    every_route_leads_to_a_port_of_a_service:
        |r| {
            let mut faults = each(r.of_kind("Ingress"), |one| {
                backends(one, "/http/paths").all(|backend| {
                    let service = &backend["backend"]["service"];
                    has_port(r, text(service, "/name"), "name", &service["port"]["name"])
                })
            });
            faults.extend(each(r.of_kind("HTTPRoute"), |one| {
                backends(one, "/backendRefs")
                    .all(|backend| has_port(r, text(backend, "/name"), "port", &backend["port"]))
            }));
            faults
        },
        unless |r| set(r, "HTTPRoute/auth-svc", "/spec/rules/0/backendRefs/0/port", 80);

    every_route_has_the_host_of_the_public_url:
        |r| {
            let maps = r.of_kind("ConfigMap").map(|map| text(map, "/data/PUBLIC_URL"));
            let public: BTreeSet<_> = maps.map(host).filter(|host| !host.is_empty()).collect();
            let routes = r.of_kind("Ingress").chain(r.of_kind("HTTPRoute"));
            each(routes, |route| hosts(route) == public)
        },
        unless |r| set(r, "Ingress/auth-svc", "/spec/tls/0/hosts/0", "other.example.com");

    every_certificate_of_a_server_has_the_names_of_its_service:
        |r| each(r.of_kind("Certificate"), |one| {
            let usages = list(one, "/spec/usages");
            let (name, namespace) = (text(one, "/metadata/name"), namespace(r));
            let wanted = ["", ".NS", ".NS.svc", ".NS.svc.cluster.local"]
                .map(|end| Value::from(format!("{name}{}", end.replace("NS", namespace))));
            !usages.contains(&json!("server auth"))
                || (r.get("Service", name).is_some() && list(one, "/spec/dnsNames") == wanted)
        }),
        unless |r| set(r, "Certificate/sync-svc", "/spec/dnsNames/2", "sync-svc.other.svc");

    every_certificate_is_used:
        |r| {
            let users = r.workloads().chain(r.of_kind("Issuer"));
            let users: String = users.map(Value::to_string).collect();
            each(r.of_kind("Certificate"), |one| {
                users.contains(&format!("\"{}\"", text(one, "/spec/secretName")))
            })
        },
        unless |r| set(r, "Certificate/auth-svc", "/spec/secretName", "nobody");

    every_certificate_has_an_issuer:
        |r| each(r.of_kind("Certificate"), |one| {
            r.get("Issuer", text(one, "/spec/issuerRef/name")).is_some()
        }),
        unless |r| set(r, "Certificate/auth-svc", "/spec/issuerRef/name", "nobody");

    every_certificate_is_renewed_long_before_it_ends:
        |r| each(r.of_kind("Certificate"), |one| {
            let hours = |place| text(one, place).strip_suffix('h')?.parse::<u64>().ok();
            let (life, before) = (hours("/spec/duration"), hours("/spec/renewBefore"));
            before >= Some(168) && before < life
        }),
        unless |r| set(r, "Certificate/auth-svc", "/spec/renewBefore", "1h");

    the_key_of_a_service_changes_with_its_certificate:
        |r| each(r.of_kind("Certificate"), |one| {
            let policy = text(one, "/spec/privateKey/rotationPolicy");
            policy == if one["spec"]["isCA"] == true { "Never" } else { "Always" }
        }),
        unless |r| set(r, "Certificate/auth-svc", "/spec/privateKey/rotationPolicy", "Never");
}

/// The backends of every rule of a route.
fn backends<'a>(route: &'a Value, place: &'a str) -> impl Iterator<Item = &'a Value> {
    let rules = list(route, "/spec/rules").iter();
    rules.flat_map(move |rule| list(rule, place))
}

fn has_port(rendering: &Rendering, service: &str, key: &str, value: &Value) -> bool {
    let service = rendering.get("Service", service);
    service.is_some_and(|service| {
        let mut ports = list(service, "/spec/ports").iter();
        ports.any(|port| port[key] == *value)
    })
}

/// Every host of an Ingress or an HTTP route.
fn hosts(route: &Value) -> BTreeSet<&str> {
    let rules = list(route, "/spec/rules").iter().map(|rule| &rule["host"]);
    let tls = list(route, "/spec/tls").iter();
    let tls = tls.flat_map(|one| list(one, "/hosts"));
    let all = rules.chain(tls).chain(list(route, "/spec/hostnames"));
    all.filter_map(Value::as_str).collect()
}

/// The host of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or("")
}
