//! Mistakes that must make calls fail: tests of the load itself.

use crate::test::case::Case;

pub(super) static RED: [Case; 4] = [
    Case::failing(
        "no SHUTDOWN_DELAY: calls must fail",
        "
echo SHUTDOWN_DELAY=0s >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
rolled_out
echo RUST_LOG=info >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
",
    ),
    Case::failing(
        "a short grace period: calls must fail",
        "
for service in auth-svc refresh-svc; do
    kubectl -n $NAMESPACE patch deployment $service \\
        --patch '{\"spec\": {\"template\": {\"spec\": {\"terminationGracePeriodSeconds\": 1}}}}'
done
rolled_out
for _ in {1..3}; do
    kubectl -n $NAMESPACE rollout restart deployment auth-svc refresh-svc
    rolled_out
done
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
",
    ),
    Case::failing(
        "a readiness that lies: calls must fail",
        "
elsewhere 'readinessProbe: { httpGet: { path: /healthz } }'
rolled_out
sleep 10
kubectl -n $NAMESPACE rollout undo deployment/refresh-svc
rolled_out
",
    ),
    Case::failing(
        "a policy edge is missing: calls must fail",
        "
kubectl -n $NAMESPACE delete networkpolicy to-demo-provider
sleep 10
# Connections that are open stay allowed.
for address in $(pods auth-svc .status.podIP); do
    conntrack -D -s $address -p tcp --dport 8443 || true
done
sleep 20
kubectl apply -k deploy/kubernetes/overlays/load
# auth-svc asks the provider again.
sleep 30
",
    ),
];
