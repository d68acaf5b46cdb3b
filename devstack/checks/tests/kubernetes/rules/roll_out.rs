//! Roll-outs, the number of replicas, and the migration.

use latchkey_checks::manifests::{Rendering, list, text};
use serde_json::Value;

use crate::rule::{SERVICES, each, label, pod_labels, rules, seconds, selects, services, serving};
use crate::spoil::{copy, delete, remove, set};

const SYNC: &str = "Deployment/sync-svc";
const VERSION: &str = "app.kubernetes.io/version";

rules! {
    no_replica_ends_before_its_successor_is_ready:
        |r| each(services(r), |w| {
            let update = &w["spec"]["strategy"]["rollingUpdate"];
            update["maxUnavailable"] == 0 && update["maxSurge"].as_u64() >= Some(1)
        }),
        unless |r| set(r, SYNC, "/spec/strategy/rollingUpdate/maxUnavailable", 1);

    a_new_pod_shows_for_some_seconds_that_it_is_ready:
        |r| each(services(r), |w| w["spec"]["minReadySeconds"].as_u64() >= Some(5)),
        unless |r| remove(r, SYNC, "/spec/minReadySeconds");

    a_roll_out_can_be_undone:
        |r| each(services(r), |w| w["spec"]["revisionHistoryLimit"].as_u64() >= Some(2)),
        unless |r| set(r, SYNC, "/spec/revisionHistoryLimit", 0);

    the_grace_period_includes_the_shutdown_delay_and_the_drain:
        |r| each(serving(r), |c| {
            let variables = r.variables(c);
            let of = |name: &str| {
                let variable = variables.iter().find(|(one, _)| one == name);
                variable.map(|(_, value)| seconds(value).unwrap_or(u64::MAX / 4))
            };
            let delay = of("SHUTDOWN_DELAY").unwrap_or(5);
            let lease = of("REFRESH_LEASE").unwrap_or(0);
            let grace = c.pod["terminationGracePeriodSeconds"].as_u64();
            grace >= Some(delay + drain(text(c.spec, "/name")) + lease)
        }),
        unless |r| set(r, "Deployment/refresh-svc", "pod/terminationGracePeriodSeconds", 60);

    every_autoscaler_scales_a_deployment:
        |r| each(autoscalers(r), |one| r.get("Deployment", target(one)).is_some()),
        unless |r| {
            copy(r, "HorizontalPodAutoscaler/auth-svc")?;
            set(r, "HorizontalPodAutoscaler/copy", "/spec/scaleTargetRef/name", "nobody")
        };

    no_deployment_has_two_autoscalers:
        |r| each(r.of_kind("Deployment"), |w| {
            let name = text(w, "/metadata/name");
            autoscalers(r).iter().filter(|one| target(one) == name).count() < 2
        }),
        unless |r| copy(r, "HorizontalPodAutoscaler/auth-svc");

    an_apply_does_not_reset_what_an_autoscaler_did:
        |r| each(r.of_kind("Deployment"), |w| {
            let name = text(w, "/metadata/name");
            w["spec"]["replicas"].is_null() || autoscalers(r).iter().all(|one| target(one) != name)
        }),
        unless |r| set(r, SYNC, "/spec/replicas", 3);

    every_service_of_production_has_two_replicas_and_may_have_more:
        |r| each(services(r), |w| {
            let name = text(w, "/metadata/name");
            r.overlay != "production"
                || autoscalers(r).iter().any(|one| {
                    let [least, most] = replicas(one);
                    target(one) == name && least >= 2 && most > least
                })
        }),
        unless |r| set(r, "HorizontalPodAutoscaler/auth-svc", "/spec/minReplicas", 1);

    every_disruption_budget_selects_a_deployment:
        |r| each(r.of_kind("PodDisruptionBudget"), |one| {
            services(r).any(|w| selects(&one["spec"]["selector"], pod_labels(w)))
        }),
        unless |r| {
            copy(r, "PodDisruptionBudget/sync-svc")?;
            let name = "/spec/selector/matchLabels/app.kubernetes.io~1name";
            set(r, "PodDisruptionBudget/copy", name, "nobody")
        };

    a_drained_node_takes_one_pod_of_a_service_at_a_time:
        |r| each(services(r), |w| {
            r.of_kind("PodDisruptionBudget").any(|one| {
                selects(&one["spec"]["selector"], pod_labels(w))
                    && one["spec"]["maxUnavailable"] == 1
                    && text(one, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow"
            })
        }),
        unless |r| delete(r, "PodDisruptionBudget/sync-svc");

    every_deployment_selects_its_own_pods:
        |r| each(r.of_kind("Deployment"), |w| selects(&w["spec"]["selector"], pod_labels(w))),
        unless |r| {
            set(r, SYNC, "/spec/selector/matchLabels/app.kubernetes.io~1name", "nobody")
        };

    no_deployment_selects_by_what_a_release_changes:
        |r| each(r.of_kind("Deployment"), |w| {
            w["spec"]["selector"]["matchLabels"][VERSION].is_null()
        }),
        unless |r| {
            let labels = pod_labels(r.get("Deployment", "sync-svc")?);
            let release = label(labels, VERSION).to_owned();
            set(r, SYNC, "/spec/selector/matchLabels/app.kubernetes.io~1version", release)
        };

    the_migration_of_each_release_has_a_name_of_its_own:
        |r| each(r.of_kind("Job"), |job| {
            let release = label(&job["metadata"]["labels"], VERSION);
            text(job, "/metadata/name") == format!("migrate-{}", release.replace('.', "-"))
        }),
        unless |r| set(r, "Job/migrate", "/metadata/name", "migrate");

    a_failed_migration_is_tried_again_and_not_for_ever:
        |r| each(r.of_kind("Job"), |job| {
            let spec = &job["spec"];
            let tries = spec["backoffLimit"].as_u64().unwrap_or(0);
            (1..=10).contains(&tries)
                && text(job, "/spec/template/spec/restartPolicy") == "Never"
                && spec["activeDeadlineSeconds"].is_null()
        }),
        unless |r| remove(r, "Job/migrate", "/spec/backoffLimit");

    an_old_migration_is_removed:
        |r| each(r.of_kind("Job"), |job| job["spec"]["ttlSecondsAfterFinished"].is_u64()),
        unless |r| remove(r, "Job/migrate", "/spec/ttlSecondsAfterFinished");

    a_wrong_configuration_of_the_migration_is_not_tried_again:
        |r| each(r.of_kind("Job"), |job| {
            list(job, "/spec/podFailurePolicy/rules").iter().any(|rule| {
                text(rule, "/action") == "FailJob"
                    && list(rule, "/onExitCodes/values").iter().any(|code| *code == 78)
            })
        }),
        unless |r| remove(r, "Job/migrate", "/spec/podFailurePolicy/rules/1");

    every_service_waits_for_the_migrations_of_its_release:
        |r| each(services(r), |w| {
            let waits = list(w, "/spec/template/spec/initContainers").iter();
            waits.map(|one| &one["command"]).any(|command| {
                text(command, "/0").ends_with("/latchkey-migrate") && text(command, "/1") == "wait"
            })
        }),
        unless |r| set(r, SYNC, "pod/initContainers/0/command/1", "config");
}

/// Seconds that a service needs to end at most, after `SHUTDOWN_DELAY` and without
/// `REFRESH_LEASE`: requests, the last events, the audit and traces.
fn drain(service: &str) -> u64 {
    match service {
        "auth-svc" => 10 + 45 + 5,
        "sync-svc" => 10 + 45 + 10 + 5,
        _ => 10 + 20 + 5,
    }
}

fn autoscalers(rendering: &Rendering) -> Vec<&Value> {
    let kinds = ["HorizontalPodAutoscaler", "ScaledObject"];
    let objects = kinds.into_iter().flat_map(|kind| rendering.of_kind(kind));
    objects.collect()
}

fn target(autoscaler: &Value) -> &str {
    text(autoscaler, "/spec/scaleTargetRef/name")
}

/// The least and the greatest number of replicas.
fn replicas(autoscaler: &Value) -> [u64; 2] {
    let number = |names: [&str; 2]| {
        let mut numbers = names
            .iter()
            .filter_map(|name| autoscaler["spec"][*name].as_u64());
        numbers.next().unwrap_or(1)
    };
    [
        number(["minReplicas", "minReplicaCount"]),
        number(["maxReplicas", "maxReplicaCount"]),
    ]
}

/// The greatest number of pods of all services, with one more of each in a roll-out.
pub(super) fn most_pods(rendering: &Rendering) -> u64 {
    let most = |service: &&str| {
        let all = autoscalers(rendering).into_iter();
        all.filter(|one| target(one) == *service)
            .map(|one| replicas(one)[1])
            .max()
            .unwrap_or(1)
    };
    SERVICES.iter().map(|service| most(service) + 1).sum()
}
