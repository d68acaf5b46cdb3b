//! Pods and their containers: probes, resources, privileges, images, mounts.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Container, Rendering, list, text};
use serde_json::{Value, json};

use crate::rule::{deployed, each, label, pod_labels, rules, selects, services, serving};
use crate::spoil::{push, remove, set};

const SYNC: &str = "Deployment/sync-svc";

rules! {
    every_deployed_container_has_a_startup_probe:
        |r| each(deployed(r), |c| c.spec["startupProbe"].is_object()),
        unless |r| remove(r, SYNC, "container/startupProbe");

    every_deployed_container_has_a_liveness_probe:
        |r| each(deployed(r), |c| c.spec["livenessProbe"].is_object()),
        unless |r| remove(r, SYNC, "container/livenessProbe");

    every_deployed_container_has_a_readiness_probe:
        |r| each(deployed(r), |c| c.spec["readinessProbe"].is_object()),
        unless |r| remove(r, SYNC, "container/readinessProbe");

    a_service_is_restarted_only_for_a_fault_of_its_own:
        |r| each(serving(r), |c| {
            let paths = ["startup", "liveness"].map(|kind| probe_path(c, kind));
            paths.iter().all(|path| matches!(*path, "" | "/healthz"))
        }),
        unless |r| set(r, SYNC, "container/livenessProbe/httpGet/path", "/readyz");

    a_service_is_ready_only_with_what_it_depends_on:
        |r| each(serving(r), |c| matches!(probe_path(c, "readiness"), "" | "/readyz")),
        unless |r| set(r, SYNC, "container/readinessProbe/httpGet/path", "/healthz");

    every_probe_asks_a_named_port_of_its_container:
        |r| each(r.containers(), |c| probes(c).iter().all(|probe| asks_own_port(c, probe))),
        unless |r| set(r, SYNC, "container/livenessProbe/httpGet/port", "metrics");

    a_start_may_take_a_minute:
        |r| each(deployed(r), |c| {
            let probe = &c.spec["startupProbe"];
            let of = |name: &str, default: u64| probe[name].as_u64().unwrap_or(default);
            probe.is_null() || of("failureThreshold", 3) * of("periodSeconds", 10) >= 60
        }),
        unless |r| set(r, SYNC, "container/startupProbe/failureThreshold", 5);

    a_probe_waits_longer_than_each_check_of_readyz:
        |r| each(serving(r), |c| {
            let probe = &c.spec["readinessProbe"];
            probe.is_null() || probe["timeoutSeconds"].as_u64() > Some(2)
        }),
        unless |r| set(r, SYNC, "container/readinessProbe/timeoutSeconds", 1);

    every_container_requests_cpu_and_memory:
        |r| each(r.all_containers(), |c| {
            ["cpu", "memory"].iter().all(|name| c.spec["resources"]["requests"][*name].is_string())
        }),
        unless |r| remove(r, SYNC, "container/resources/requests/cpu");

    every_container_has_a_memory_limit:
        |r| each(r.all_containers(), |c| c.spec["resources"]["limits"]["memory"].is_string()),
        unless |r| remove(r, SYNC, "container/resources/limits/memory");

    no_container_is_throttled:
        |r| each(r.all_containers(), |c| c.spec["resources"]["limits"]["cpu"].is_null()),
        unless |r| set(r, SYNC, "container/resources/limits/cpu", "1");

    no_container_gains_privileges:
        |r| each(r.all_containers(), |c| security(c)["allowPrivilegeEscalation"] == false),
        unless |r| remove(r, SYNC, "container/securityContext/allowPrivilegeEscalation");

    every_root_file_system_is_read_only:
        |r| each(r.all_containers(), |c| security(c)["readOnlyRootFilesystem"] == true),
        unless |r| set(r, SYNC, "container/securityContext/readOnlyRootFilesystem", false);

    every_capability_is_dropped:
        |r| each(r.all_containers(), |c| security(c)["capabilities"] == json!({"drop": ["ALL"]})),
        unless |r| set(r, SYNC, "container/securityContext/capabilities/drop", json!([]));

    no_container_is_privileged_or_another_user_than_its_pod:
        |r| each(r.all_containers(), |c| {
            ["privileged", "runAsUser", "procMount"].iter().all(|name| security(c)[*name].is_null())
        }),
        unless |r| set(r, SYNC, "container/securityContext/privileged", true);

    every_pod_runs_as_a_numeric_user_that_is_not_root:
        |r| each(r.workloads(), |w| {
            let security = pod_security(w);
            let ids = ["runAsUser", "runAsGroup", "fsGroup"];
            security["runAsNonRoot"] == true && ids.iter().all(|id| security[*id] == 65532)
        }),
        unless |r| set(r, SYNC, "pod/securityContext/runAsUser", 0);

    every_pod_has_the_seccomp_profile_of_the_runtime:
        |r| each(r.workloads(), |w| {
            text(pod_security(w), "/seccompProfile/type") == "RuntimeDefault"
        }),
        unless |r| remove(r, SYNC, "pod/securityContext/seccompProfile");

    no_pod_shares_anything_with_its_node:
        |r| each(r.workloads(), |w| {
            let pod = &w["spec"]["template"]["spec"];
            let shared = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"];
            shared.iter().all(|name| pod[*name].is_null())
                && list(pod, "/volumes").iter().all(|volume| volume["hostPath"].is_null())
        }),
        unless |r| set(r, SYNC, "pod/hostNetwork", true);

    no_pod_gets_the_addresses_of_services_as_variables:
        |r| each(r.workloads(), |w| w["spec"]["template"]["spec"]["enableServiceLinks"] == false),
        unless |r| remove(r, SYNC, "pod/enableServiceLinks");

    no_pod_gets_a_token_of_the_kubernetes_api_unasked:
        |r| each(r.workloads(), |w| {
            w["spec"]["template"]["spec"]["automountServiceAccountToken"] == false
        }),
        unless |r| remove(r, SYNC, "pod/automountServiceAccountToken");

    no_service_account_gives_its_token_away:
        |r| each(r.of_kind("ServiceAccount"), |one| one["automountServiceAccountToken"] == false),
        unless |r| remove(r, "ServiceAccount/sync-svc", "/automountServiceAccountToken");

    every_program_of_the_base_has_a_service_account_of_its_own:
        |r| each(r.workloads(), |w| {
            let name = label(pod_labels(w), "app.kubernetes.io/name");
            let account = text(w, "/spec/template/spec/serviceAccountName");
            name == "demo-provider" || (account == name && r.get("ServiceAccount", name).is_some())
        }),
        unless |r| set(r, SYNC, "pod/serviceAccountName", "default");

    a_token_is_projected_only_where_callers_use_tokens:
        |r| each(r.containers(), |c| {
            let variables = r.variables(c);
            let uses_tokens = variables.iter().any(|(name, value)| match name.as_str() {
                "CALLERS_BY" => value != "certificate",
                name => name == "GRPC_CLIENT_TOKEN_FILE",
            });
            has_projected_token(c) == uses_tokens
        }),
        unless |r| {
            let source = json!({ "serviceAccountToken": { "path": "token" } });
            let projected = json!({ "defaultMode": 0o440, "sources": [source] });
            let volume = json!({ "name": "api", "projected": projected });
            push(r, "Job/migrate", "pod/volumes", volume)?;
            let mount = json!({ "name": "api", "mountPath": "/api", "readOnly": true });
            push(r, "Job/migrate", "container/volumeMounts", mount)
        };

    every_image_is_that_of_the_release:
        |r| each(r.all_containers(), |c| {
            let release = label(&c.workload["metadata"]["labels"], "app.kubernetes.io/version");
            tag(text(c.spec, "/image")) == release
        }),
        unless |r| set(r, SYNC, "container/image", "latchkey/sync-svc:0.0.9");

    no_tag_of_an_image_moves:
        |r| {
            let servers = ["Cluster", "RabbitmqCluster"].map(|kind| r.of_kind(kind));
            let mut faults = each(servers.into_iter().flatten(), |one| {
                let names = ["/spec/imageName", "/spec/image"].map(|place| text(one, place));
                is_fixed(tag(&names.concat()))
            });
            faults.extend(each(r.all_containers(), |c| is_fixed(tag(text(c.spec, "/image")))));
            faults
        },
        unless |r| set(r, "RabbitmqCluster/rabbitmq", "/spec/image", "rabbitmq:4-management");

    every_program_is_started_by_its_path:
        |r| each(r.all_containers(), |c| text(c.spec, "/command/0").starts_with("/usr/local/bin/")),
        unless |r| set(r, SYNC, "container/command/0", "sync-svc");

    every_volume_is_mounted_and_every_mount_has_a_volume:
        |r| each(r.workloads(), |w| volumes(w) == mounts(r, w)),
        unless |r| push(r, SYNC, "pod/volumes", json!({ "name": "spare", "emptyDir": {} }));

    every_mount_is_read_only:
        |r| each(r.all_containers(), |c| {
            list(c.spec, "/volumeMounts").iter().all(|mount| mount["readOnly"] == true)
        }),
        unless |r| remove(r, SYNC, "container/volumeMounts/0/readOnly");

    only_the_group_of_the_pod_reads_its_secrets:
        |r| each(r.workloads(), |w| {
            let volumes = list(w, "/spec/template/spec/volumes").iter();
            let mut secrets = volumes.flat_map(|one| [&one["secret"], &one["projected"]]);
            secrets.all(|one| one.is_null() || one["defaultMode"] == 0o440)
        }),
        unless |r| set(r, SYNC, "pod/volumes/0/secret/defaultMode", 0o444);

    the_replicas_of_a_service_are_spread_over_zones_and_nodes:
        |r| each(services(r), |w| {
            ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].iter().all(|key| {
                let spreads = list(w, "/spec/template/spec/topologySpreadConstraints");
                spreads.iter().any(|one| {
                    text(one, "/topologyKey") == *key
                        && text(one, "/whenUnsatisfiable") == "ScheduleAnyway"
                        && one["labelSelector"].is_object()
                        && selects(&one["labelSelector"], pod_labels(w))
                })
            })
        }),
        unless |r| remove(r, SYNC, "pod/topologySpreadConstraints/0");
}

fn probes<'a>(container: &Container<'a>) -> Vec<&'a Value> {
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
    probes.map(|name| &container.spec[name]).to_vec()
}

fn probe_path<'a>(container: &Container<'a>, kind: &str) -> &'a str {
    text(container.spec, &format!("/{kind}Probe/httpGet/path"))
}

fn asks_own_port(container: &Container<'_>, probe: &Value) -> bool {
    // Without a shell, no image has a command to ask with.
    let action = probe.get("httpGet").or_else(|| probe.get("tcpSocket"));
    let is = |action: &Value| {
        let ports = list(container.spec, "/ports");
        ports.iter().any(|port| port["name"] == action["port"])
    };
    probe.is_null() || action.is_some_and(is)
}

fn security<'a>(container: &Container<'a>) -> &'a Value {
    &container.spec["securityContext"]
}

fn pod_security(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["securityContext"]
}

fn has_projected_token(container: &Container<'_>) -> bool {
    let volumes = list(container.pod, "/volumes").iter();
    volumes
        .flat_map(|volume| list(volume, "/projected/sources"))
        .any(|source| source["serviceAccountToken"].is_object())
}

fn tag(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map_or("", |(_, tag)| tag)
}

/// Whether a tag begins with a version of at least two numbers.
fn is_fixed(tag: &str) -> bool {
    let mut numbers = tag.split(['.', '-']);
    let mut is_number = || {
        numbers
            .next()
            .is_some_and(|part| part.parse::<u32>().is_ok())
    };
    is_number() && is_number()
}

fn names(list: &[Value]) -> impl Iterator<Item = String> {
    list.iter().map(|one| text(one, "/name").to_owned())
}

fn volumes(workload: &Value) -> BTreeSet<String> {
    names(list(workload, "/spec/template/spec/volumes")).collect()
}

fn mounts(rendering: &Rendering, workload: &Value) -> BTreeSet<String> {
    let containers = rendering.all_containers().into_iter();
    containers
        .filter(|container| std::ptr::eq(container.workload, workload))
        .flat_map(|container| names(list(container.spec, "/volumeMounts")))
        .collect()
}
