//! Mistakes of an operator, during which the former pods serve, and faults of pods and servers,
//! for which nothing else is restarted.

use crate::test::case::Case;

pub(super) static FAULTS: [Case; 11] = [
    Case::new(
        "a Secret is missing",
        "
kubectl -n $NAMESPACE delete secret sync-svc-tls
kubectl -n $NAMESPACE rollout restart deployment/sync-svc
told 'secret \"sync-svc-tls\" not found'
stuck sync-svc
secret sync-svc-tls --from-file=latchkey-secrets/base/sync-svc-tls
rolled_out
",
    ),
    Case::new(
        "a key of a Secret has a wrong name",
        "
keys=latchkey-secrets/base/refresh-svc
kubectl -n $NAMESPACE delete secret refresh-svc
secret refresh-svc --from-file=$keys/amqp-url --from-file=$keys/sealing-private-keys \\
    --from-file=database_url=$keys/database-url
kubectl -n $NAMESPACE rollout restart deployment/refresh-svc
told 'references non-existent secret key: database-url'
stuck refresh-svc
kubectl -n $NAMESPACE delete secret refresh-svc
secret refresh-svc --from-file=$keys
rolled_out
",
    ),
    Case::new(
        "an image does not exist",
        "
kubectl -n $NAMESPACE set image deployment/auth-svc auth-svc=latchkey/auth-svc:none
told 'Failed to pull image \"latchkey/auth-svc:none\"'
stuck auth-svc
kubectl -n $NAMESPACE rollout undo deployment/auth-svc
rolled_out
",
    ),
    Case::new(
        "a setting has a wrong value",
        "
echo SHUTDOWN_DELAY=often >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
told 'Back-off restarting failed container auth-svc'
stuck auth-svc
kubectl -n $NAMESPACE logs -l app.kubernetes.io/name=auth-svc --tail=-1 | grep SHUTDOWN_DELAY
echo RUST_LOG=info >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
",
    ),
    Case::new(
        "new pods do not reach PostgreSQL",
        "
elsewhere
stuck refresh-svc
kubectl -n $NAMESPACE rollout undo deployment/refresh-svc
rolled_out
",
    ),
    // Longer than the liveness probes need to restart a container.
    Case::without_load(
        "PostgreSQL does not answer: none is ready",
        "
before=$(restarts)
close 5432
ready false
sleep 90
open 5432
ready true
[ \"$before\" = \"$(restarts)\" ]
",
    ),
    Case::without_load(
        "RabbitMQ does not answer: sync-svc not ready",
        "
before=$(restarts)
close 5672
ready false sync-svc
sleep 90
ready true auth-svc
ready true refresh-svc
open 5672
ready true
[ \"$before\" = \"$(restarts)\" ]
",
    ),
    Case::without_load(
        "the provider is not reached: all are ready",
        "
before=$(restarts)
kubectl -n $NAMESPACE delete networkpolicy to-demo-provider
sleep 90
ready true
kubectl apply -k deploy/kubernetes/overlays/load
[ \"$before\" = \"$(restarts)\" ]
",
    ),
    Case::without_load(
        "pods start before their servers",
        "
close 5432
close 5672
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
sleep 30
open 5432
open 5672
rolled_out
",
    ),
    Case::without_load(
        "pods are deleted with --force",
        "
before=$(restarts)
for service in auth-svc sync-svc refresh-svc; do
    names=$(pods $service .metadata.name)
    kubectl -n $NAMESPACE delete pod ${names%% *} --force --grace-period=0
done
rolled_out
ready true
[ \"$(restarts)\" -le \"$before\" ]
",
    ),
    // A process in the cgroup of the container takes its memory. The system ends the one of the
    // pod, whose score is higher.
    Case::without_load(
        "out of memory: one container is restarted",
        "
before=$(restarts)
names=$(pods sync-svc .metadata.name)
pod=${names%% *}
id=$(kubectl -n $NAMESPACE get pod $pod -o jsonpath='{.status.containerStatuses[0].containerID}')
(
    for group in $(find /sys/fs/cgroup -type d -name \"${id#containerd://}\"); do
        echo $BASHPID >$group/cgroup.procs
    done
    # It keeps in memory what it may have to print.
    head -c 1G /dev/zero | tail -c 1G >/dev/null
) || true
kubectl -n $NAMESPACE wait pod/$pod --timeout=1m \\
    --for=jsonpath='{.status.containerStatuses[0].lastState.terminated.reason}'=OOMKilled
ready true
[ \"$(restarts)\" = $((before + 1)) ]
",
    ),
];
