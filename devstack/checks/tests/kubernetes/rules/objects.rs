//! Names, namespaces, labels, and Services.

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::{Value, json};

use crate::rule::{each, fault_unless, label, pod_labels, rules, selects};
use crate::spoil::{copy, push, remove, set};

/// The labels that each object of the base has.
const LABELS: [&str; 4] = ["name", "component", "part-of", "version"];

rules! {
    no_object_is_there_twice:
        |r| each(&r.objects, |one| {
            let is_same = |other: &&Value| {
                ["/apiVersion", "/kind", "/metadata/name"]
                    .iter()
                    .all(|place| text(one, place) == text(other, place))
            };
            r.objects.iter().filter(is_same).count() == 1
        }),
        unless |r| {
            copy(r, "ServiceAccount/sync-svc")?;
            set(r, "ServiceAccount/copy", "/metadata/name", "sync-svc")
        };

    every_object_is_in_the_namespace_of_the_overlay:
        |r| each(r.objects.iter().filter(|one| text(one, "/kind") != "Namespace"), |one| {
            text(one, "/metadata/namespace") == namespace(r)
        }),
        unless |r| remove(r, "ServiceAccount/sync-svc", "/metadata/namespace");

    the_namespace_enforces_the_restricted_profile:
        |r| each(r.of_kind("Namespace"), |one| {
            ["enforce", "warn"].iter().all(|mode| {
                let of = |end: &str| {
                    let name = format!("pod-security.kubernetes.io/{mode}{end}");
                    label(&one["metadata"]["labels"], &name)
                };
                of("") == "restricted" && of("-version") == "v1.34"
            })
        }),
        unless |r| {
            let name = "/metadata/labels/pod-security.kubernetes.io~1enforce";
            set(r, "Namespace/latchkey", name, "baseline")
        };

    there_is_one_namespace:
        |r| fault_unless(r.of_kind("Namespace").count() == 1, "not one Namespace"),
        unless |r| copy(r, "Namespace/latchkey");

    every_object_belongs_to_latchkey:
        |r| each(&r.objects, |one| {
            label(&one["metadata"]["labels"], "app.kubernetes.io/part-of") == "latchkey"
        }),
        unless |r| {
            remove(r, "ConfigMap/settings", "/metadata/labels/app.kubernetes.io~1part-of")
        };

    every_pod_has_the_labels_of_its_workload:
        |r| each(r.workloads(), |w| {
            LABELS.iter().all(|name| {
                let name = format!("app.kubernetes.io/{name}");
                let is = label(pod_labels(w), &name);
                !is.is_empty() && is == label(&w["metadata"]["labels"], &name)
            })
        }),
        unless |r| {
            let name = "/spec/template/metadata/labels/app.kubernetes.io~1version";
            remove(r, "Deployment/sync-svc", name)
        };

    nothing_of_the_site_is_left_open:
        |r| each(&r.objects, |one| !one.to_string().contains("SITE")),
        unless |r| set(r, "ConfigMap/settings", "/data/OTEL_EXPORTER_OTLP_ENDPOINT", "SITE");

    what_is_only_for_kustomize_is_not_applied:
        |r| each(&r.objects, |one| {
            one["metadata"]["annotations"]["config.kubernetes.io/local-config"].is_null()
        }),
        unless |r| {
            let annotations = json!({ "config.kubernetes.io/local-config": "true" });
            set(r, "ConfigMap/settings", "/metadata/annotations", annotations)
        };

    every_service_selects_a_deployment:
        |r| each(r.of_kind("Service"), |service| {
            r.of_kind("Deployment").any(|w| is_behind(service, w))
        }),
        unless |r| {
            copy(r, "Service/sync-svc")?;
            set(r, "Service/copy", "/spec/selector/app.kubernetes.io~1name", "nobody")
        };

    every_port_of_a_service_is_one_of_its_pods:
        |r| each(r.of_kind("Service"), |service| {
            let mut pods = r.of_kind("Deployment").filter(|w| is_behind(service, w));
            pods.all(|w| list(service, "/spec/ports").iter().all(|port| {
                ports(w).any(|one| {
                    one["name"] == port["targetPort"] && one["containerPort"] == port["port"]
                })
            }))
        }),
        unless |r| set(r, "Service/auth-svc", "/spec/ports/0/targetPort", "https");

    every_port_of_a_pod_is_that_of_a_service_or_of_health:
        |r| each(r.of_kind("Deployment"), |w| {
            ports(w).all(|port| {
                port["name"] == "health"
                    || r.of_kind("Service").filter(|service| is_behind(service, w)).any(|service| {
                        list(service, "/spec/ports").iter().any(|one| one["name"] == port["name"])
                    })
            })
        }),
        unless |r| {
            let port = json!({ "name": "admin", "containerPort": 9000 });
            push(r, "Deployment/sync-svc", "container/ports", port)
        };

    no_pod_has_a_port_of_its_node:
        |r| each(r.of_kind("Deployment"), |w| ports(w).all(|port| port["hostPort"].is_null())),
        unless |r| set(r, "Deployment/sync-svc", "container/ports/0/hostPort", 50052);

    no_service_is_open_to_the_world:
        |r| each(r.of_kind("Service"), |service| {
            matches!(text(service, "/spec/type"), "" | "ClusterIP")
                && service["spec"]["externalIPs"].is_null()
        }),
        unless |r| set(r, "Service/auth-svc", "/spec/type", "LoadBalancer");

    every_service_port_has_the_name_of_its_protocol:
        |r| each(r.of_kind("Service"), |service| {
            let mut names = list(service, "/spec/ports").iter().map(|port| text(port, "/name"));
            names.all(|name| ["http", "https", "grpc"].contains(&name))
        }),
        unless |r| push(r, "Service/auth-svc", "/spec/ports", json!({
            "name": "admin", "port": 8083, "targetPort": "health",
        }));

    no_object_is_of_a_beta_of_kubernetes:
        |r| each(&r.objects, |one| {
            let version = text(one, "/apiVersion");
            let is_custom = version.split('/').next().is_some_and(|group| {
                group.contains('.') && !group.ends_with(".k8s.io")
            });
            is_custom || !version.contains("beta")
        }),
        unless |r| set(r, "Ingress/auth-svc", "/apiVersion", "networking.k8s.io/v1beta1");
}

/// The namespace of the overlay.
pub(super) fn namespace(rendering: &Rendering) -> &str {
    let mut namespaces = rendering.of_kind("Namespace");
    namespaces
        .next()
        .map_or("", |one| text(one, "/metadata/name"))
}

/// Whether the pods of a Deployment are those of a Service.
fn is_behind(service: &Value, deployment: &Value) -> bool {
    let selector = json!({ "matchLabels": service["spec"]["selector"] });
    selects(&selector, pod_labels(deployment))
}

fn ports(deployment: &Value) -> impl Iterator<Item = &Value> {
    let containers = list(deployment, "/spec/template/spec/containers").iter();
    containers.flat_map(|container| list(container, "/ports"))
}
