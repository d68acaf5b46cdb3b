//! PostgreSQL and RabbitMQ in the cluster, and Secrets from outside of it.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{list, text};
use serde_json::Value;

use crate::facts::with_facts;
use crate::rule::{differences, each, rules};
use crate::spoil::{at, delete, remove, set};

use super::roll_out::most_pods;

/// Connections of a pod to PostgreSQL: `DATABASE_MAX_CONNECTIONS` and those for notifications and
/// the outbox.
const CONNECTIONS: u64 = 16 + 6;

rules! {
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
            let all = at(r, "Job/migrate", "container/volumeMounts")?;
            let index = list(all, "").iter().position(|one| text(one, "/name") == "postgresql-ca")?;
            set(r, "Job/migrate", &mounts.replace('0', &index.to_string()), "/run/secrets/other")
        };
}

/// A user's rights in one line.
fn rights(user: &str, rights: &Value) -> String {
    let names = ["exchange", "configure", "write", "read"];
    let of = |name: &&str| format!("{name}={}", text(rights, &format!("/{name}")));
    let rights: Vec<_> = names.iter().map(of).collect();
    format!("{user}: {}", rights.join(" "))
}
