//! The previous release (N-1) beside this one (N): the commands of "Upgrade and roll back" in
//! `deploy/kubernetes/README.md`. The demo provider is always that of N and is never replaced,
//! because what it knows is in memory.

use crate::test::case::Case;

/// Starts N-1 on an empty database.
pub(crate) const START_PREVIOUS: &str = "
kubectl apply -k previous/deploy/kubernetes/overlays/dev -l 'app.kubernetes.io/name!=demo-provider'
kubectl apply -k deploy/kubernetes/overlays/dev -l app.kubernetes.io/name=demo-provider
kubectl -n $NAMESPACE rollout status deployment -l app.kubernetes.io/part-of=latchkey --timeout=5m
";

/// Applies the overlay of the tests with the services of N-1.
pub(crate) const APPLY_PREVIOUS: &str = "
kubectl apply -k previous/deploy/kubernetes/overlays/load -l 'app.kubernetes.io/name!=demo-provider'
kubectl apply -k deploy/kubernetes/overlays/load -l app.kubernetes.io/name=demo-provider
rolled_out
";

pub(crate) static UPGRADES: [Case; 4] = [
    Case::new(
        "N-1: the migration of N runs beside it",
        "
before=$(images)
kubectl apply -k deploy/kubernetes/overlays/load -l app.kubernetes.io/name=migrate
kubectl -n $NAMESPACE wait --for=condition=Complete job -l app.kubernetes.io/name=migrate --timeout=5m
# N-1 works on the new schema.
sleep 30
[ \"$(images)\" = \"$before\" ]
",
    ),
    // Within each service, too, pods of N-1 and N run side by side during its roll-out.
    Case::new(
        "N-1 to N: one service after the other",
        "
kubectl apply -k deploy/kubernetes/overlays/load -l '!app.kubernetes.io/name'
for service in refresh-svc sync-svc auth-svc; do
    before=$(images)
    kubectl apply -k deploy/kubernetes/overlays/load -l app.kubernetes.io/name=$service
    rolled_out
    [ \"$(images)\" != \"$before\" ]
    sleep 20
done
",
    ),
    Case::new(
        "N back to N-1, without the migration",
        "
before=$(images)
kubectl apply -k previous/deploy/kubernetes/overlays/load \\
    -l 'app.kubernetes.io/name notin (migrate,demo-provider)'
rolled_out
[ \"$(images)\" != \"$before\" ]
sleep 20
",
    ),
    Case::new(
        "N-1 to N: all at once",
        "
before=$(images)
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
[ \"$(images)\" != \"$before\" ]
",
    ),
];
