//! Objects of the components: routes, certificates, alerts, scaling, servers in the cluster.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::{Value, json};

use crate::facts::with_facts;
use crate::rule::{SERVICES, differences, each, pod_labels, rules, selects, services};
use crate::spoil::{delete, remove, set};

use super::objects::namespace;
use super::roll_out::most_pods;

/// Connections of a pod to PostgreSQL: `DATABASE_MAX_CONNECTIONS` and those for notifications and
/// the outbox.
const CONNECTIONS: u64 = 16 + 3;

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

    external_secrets_are_those_without_certificates:
        |r| with_facts(|facts| {
            let names = r.of_kind("ExternalSecret").map(|one| text(one, "/metadata/name"));
            let names: BTreeSet<_> = names.map(str::to_owned).collect();
            let wanted = facts.base.iter().filter(|name| !name.ends_with("-tls"));
            let wanted = wanted.cloned().collect();
            if names.is_empty() { Vec::new() } else { differences(&names, &wanted) }
        }),
        unless |r| delete(r, "ExternalSecret/migrate");

    every_external_secret_is_copied_under_its_name:
        |r| each(r.of_kind("ExternalSecret"), |one| {
            let name = text(one, "/metadata/name");
            text(one, "/spec/dataFrom/0/extract/key") == format!("latchkey/{name}")
                && text(one, "/spec/target/deletionPolicy") == "Retain"
        }),
        unless |r| {
            set(r, "ExternalSecret/migrate", "/spec/dataFrom/0/extract/key", "latchkey/providers")
        };

    the_users_of_rabbitmq_have_the_rights_of_make_secrets:
        |r| with_facts(|facts| {
            let mut faults = Vec::new();
            if r.of_kind("User").next().is_some() {
                for (kind, name) in
                    [("Permission", "permissions"), ("TopicPermission", "topic_permissions")]
                {
                    let wanted = list(&facts.rabbitmq, &format!("/{name}")).iter();
                    let wanted = wanted.map(|one| rights(text(one, "/user"), one));
                    let is = r.of_kind(kind);
                    let is = is.map(|one| {
                        rights(text(one, "/metadata/name"), &one["spec"]["permissions"])
                    });
                    faults.extend(differences(&is.collect(), &wanted.collect()));
                }
            }
            faults
        }),
        unless |r| set(r, "Permission/auth-svc", "/spec/permissions/write", ".*");

    every_right_in_rabbitmq_is_of_a_user_and_a_virtual_host:
        |r| {
            let hosts: Vec<_> = r.of_kind("Vhost").map(|one| &one["spec"]["name"]).collect();
            each(r.of_kind("Permission").chain(r.of_kind("TopicPermission")), |one| {
                r.get("User", text(one, "/spec/userReference/name")).is_some()
                    && hosts.contains(&&one["spec"]["vhost"])
            })
        },
        unless |r| set(r, "TopicPermission/auth-svc", "/spec/userReference/name", "nobody");

    the_policy_of_rabbitmq_is_for_every_queue_of_latchkey:
        |r| with_facts(|facts| each(r.of_kind("Policy"), |one| {
            // `^(a|b)\.` is for queues whose names begin with `a.` or `b.`.
            let pattern = text(one, "/spec/pattern").strip_prefix("^(");
            let starts = pattern.and_then(|rest| rest.strip_suffix(r")\.")).unwrap_or("");
            let is_matched = |queue: &String| {
                let first = queue.split_once('.').map_or("", |(first, _)| first);
                starts.split('|').any(|start| start == first)
            };
            one["spec"]["name"] == one["metadata"]["name"]
                && text(one, "/spec/applyTo") == "quorum_queues"
                && facts.queues.iter().all(is_matched)
        })),
        unless |r| set(r, "Policy/latchkey-quorum-queues", "/spec/pattern", r"^(latchkey)\.");

    the_policy_of_rabbitmq_changes_nothing_that_the_queues_declare:
        |r| each(r.of_kind("Policy"), |one| {
            let allowed = ["queue-leader-locator", "target-group-size"];
            let definition = one["spec"]["definition"].as_object();
            definition.into_iter().flatten().all(|(name, _)| allowed.contains(&name.as_str()))
        }),
        unless |r| set(r, "Policy/latchkey-quorum-queues", "/spec/definition/max-length", 1000);

    postgresql_has_connections_for_every_pod:
        |r| each(r.of_kind("Cluster"), |one| {
            let most = text(one, "/spec/postgresql/parameters/max_connections").parse::<u64>();
            most.is_ok_and(|most| most >= most_pods(r) * CONNECTIONS)
        }),
        unless |r| {
            set(r, "Cluster/postgresql", "/spec/postgresql/parameters/max_connections", "200")
        };

    the_roles_of_postgresql_are_those_of_make_secrets:
        |r| with_facts(|facts| {
            let roles = r.of_kind("Cluster").flat_map(|one| list(one, "/spec/managed/roles"));
            let names: BTreeSet<_> = roles.map(|role| text(role, "/name").to_owned()).collect();
            if names.is_empty() { Vec::new() } else { differences(&names, &facts.roles) }
        }),
        unless |r| remove(r, "Cluster/postgresql", "/spec/managed/roles/3");

    a_commit_of_postgresql_waits_for_a_standby:
        |r| each(r.of_kind("Cluster"), |one| {
            let synchronous = &one["spec"]["postgresql"]["synchronous"];
            synchronous["number"].as_u64() >= Some(1)
                && text(synchronous, "/dataDurability") == "required"
        }),
        unless |r| remove(r, "Cluster/postgresql", "/spec/postgresql/synchronous");

    every_server_in_the_cluster_has_three_members:
        |r| {
            let servers = ["Cluster", "RabbitmqCluster"].map(|kind| r.of_kind(kind));
            each(servers.into_iter().flatten(), |one| {
                one["spec"]["instances"] == 3 || one["spec"]["replicas"] == 3
            })
        },
        unless |r| set(r, "RabbitmqCluster/rabbitmq", "/spec/replicas", 1);

    every_program_that_opens_the_database_can_verify_the_one_in_the_cluster:
        |r| each(r.all_containers(), |c| {
            let variables = r.variables(c);
            let opens = variables.iter().any(|(name, _)| name == "DATABASE_URL_FILE");
            r.of_kind("Cluster").next().is_none()
                || !opens
                || c.volume_of("/run/secrets/postgresql-ca/ca.crt").is_some()
        }),
        unless |r| {
            let mounts = "container/volumeMounts/0/mountPath";
            let all = crate::spoil::at(r, "Job/migrate", "container/volumeMounts")?;
            let index = list(all, "").iter().position(|one| text(one, "/name") == "postgresql-ca")?;
            set(r, "Job/migrate", &mounts.replace('0', &index.to_string()), "/run/secrets/other")
        };
}

const RULES_OF_PROMETHEUS: &str = "PrometheusRule/latchkey";

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

/// A user's rights in one line.
fn rights(user: &str, rights: &Value) -> String {
    let names = ["exchange", "configure", "write", "read"];
    let of = |name: &&str| format!("{name}={}", text(rights, &format!("/{name}")));
    let rights: Vec<_> = names.iter().map(of).collect();
    format!("{user}: {}", rights.join(" "))
}
