//! Changes of the deployment that an operator makes on purpose.

use crate::test::case::Case;

pub(super) static UPDATES: [Case; 9] = [
    Case::new(
        "rolling update of auth-svc",
        "
kubectl -n $NAMESPACE rollout restart deployment/auth-svc
rolled_out
",
    ),
    Case::new(
        "rolling update of sync-svc",
        "
kubectl -n $NAMESPACE rollout restart deployment/sync-svc
rolled_out
",
    ),
    Case::new(
        "rolling update of refresh-svc",
        "
kubectl -n $NAMESPACE rollout restart deployment/refresh-svc
rolled_out
",
    ),
    Case::new(
        "rolling update of all three",
        "
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
rolled_out
",
    ),
    Case::new(
        "changed setting: kubectl apply",
        "
echo RUST_LOG=warn >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
",
    ),
    Case::new(
        "and back: kubectl rollout undo",
        "
kubectl -n $NAMESPACE rollout undo deployment auth-svc sync-svc refresh-svc
rolled_out
",
    ),
    Case::new(
        "renewed certificates",
        "
for service in auth-svc sync-svc refresh-svc; do
    issue latchkey-secrets/base/$service-tls latchkey-secrets/ca
    replace $service-tls
done
# The kubelet renews the files, and then the services read them.
sleep 180
shows sync-svc 50052 latchkey-secrets/base/sync-svc-tls/tls.crt
shows refresh-svc 50051 latchkey-secrets/base/refresh-svc-tls/tls.crt
",
    ),
    Case::new(
        "kubectl drain: a budget keeps one pod",
        "
trap 'kubectl uncordon node1' EXIT
for service in auth-svc sync-svc refresh-svc; do
    if kubectl drain node1 --pod-selector=app.kubernetes.io/name=$service --timeout=40s; then
        echo \"no pod of $service was kept\" >&2
        exit 1
    fi
    kubectl uncordon node1
    rolled_out
done
",
    ),
    // The manifests' autoscaler, which does not wait for five minutes before it removes a pod.
    Case::new(
        "autoscaling: four pods of auth-svc, and two",
        "
end() {
    kubectl -n $NAMESPACE delete hpa auth-svc --ignore-not-found
    metrics_api | kubectl delete -f - --ignore-not-found
}
trap end EXIT
echo 10m >cpu
metrics_api | kubectl apply -f -
kubectl wait apiservice/v1beta1.metrics.k8s.io --for=condition=Available --timeout=1m
kubectl -n $NAMESPACE apply -f deploy/kubernetes/base/auth-svc/autoscaler.yaml
kubectl -n $NAMESPACE patch hpa auth-svc --patch '
spec:
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 0
      policies: [{ type: Pods, value: 1, periodSeconds: 15 }]
'
echo 200m >cpu
kubectl -n $NAMESPACE wait deployment/auth-svc --for=jsonpath='{.status.readyReplicas}'=4 --timeout=2m
echo 10m >cpu
kubectl -n $NAMESPACE wait deployment/auth-svc --for=jsonpath='{.spec.replicas}'=2 --timeout=2m
kubectl -n $NAMESPACE delete hpa auth-svc
rolled_out
",
    ),
];
