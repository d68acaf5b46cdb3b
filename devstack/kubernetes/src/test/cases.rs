//! The changes of the deployment, as an operator makes them.

use std::fs;

use crate::deployment::Deployment;

/// A change of the deployment.
#[derive(Debug)]
pub(super) struct Case {
    /// Name in the table.
    pub name: &'static str,
    /// Commands, which end when the change is complete.
    pub commands: &'static str,
    /// What the load must show.
    pub load: Expected,
}

/// What is expected of the calls during a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// All succeed.
    Succeed,
    /// Some fail: a test of the load itself.
    Fail,
    /// There is no load, because the change takes a server away.
    None,
}

impl Case {
    const fn new(name: &'static str, commands: &'static str) -> Self {
        Self {
            name,
            commands,
            load: Expected::Succeed,
        }
    }

    const fn without_load(name: &'static str, commands: &'static str) -> Self {
        Self {
            name,
            commands,
            load: Expected::None,
        }
    }
}

/// Functions for the commands.
pub(super) const FUNCTIONS: &str = "
# Waits until the new pods serve and the old ones have ended: 15 s of SHUTDOWN_DELAY and the rest.
rolled_out() {
    local selector=app.kubernetes.io/part-of=latchkey
    kubectl -n $NAMESPACE rollout status deployment -l $selector --timeout=10m
    for _ in {1..90}; do
        [ -n \"$(kubectl -n $NAMESPACE get pods -l $selector \\
            -o jsonpath='{.items[*].metadata.deletionTimestamp}')\" ] || return 0
        sleep 1
    done
    echo 'pods do not end' >&2
    return 1
}
secret() {
    kubectl -n $NAMESPACE create secret generic \"$@\"
}
restarts() {
    kubectl -n $NAMESPACE get pods -l app.kubernetes.io/component=service \\
        -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}'
}
# Drops what pods send to a port of the servers, until `open`.
close() {
    trap 'open 5432; open 5672' EXIT
    iptables -I INPUT -d 10.99.0.1 -p tcp --dport $1 -j DROP
}
open() {
    iptables -D INPUT -d 10.99.0.1 -p tcp --dport $1 -j DROP 2>/dev/null || true
}
# Waits until the pods of a service, or of all, are ready, or not ready.
ready() {
    kubectl -n $NAMESPACE wait pod --for=condition=Ready=$1 --timeout=2m \\
        -l \"app.kubernetes.io/component=service${2+,app.kubernetes.io/name=$2}\"
}
# Waits until an event tells an operator what is wrong.
told() {
    for _ in {1..90}; do
        case $(kubectl -n $NAMESPACE get events -o custom-columns=M:.message) in
        *\"$1\"*) return 0 ;;
        esac
        sleep 1
    done
    echo \"no event says $1\" >&2
    return 1
}
";

/// Applies the overlay of the tests.
pub(super) const APPLY: &str = "
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
";

/// The overlay of the tests: the overlay `dev` with two replicas, whose pods accept as many
/// sign-ins as one machine sends.
const OVERLAY: [(&str, &str); 2] = [
    (
        "kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: latchkey-dev
resources:
  - ../dev
replicas:
  - { name: auth-svc, count: 2 }
  - { name: sync-svc, count: 2 }
  - { name: refresh-svc, count: 2 }
configMapGenerator:
  - name: settings
    behavior: merge
    envs: [settings.env]
  - name: auth-svc-settings
    behavior: merge
    literals: [RATE_LIMIT_PER_ADDRESS=0]
patches:
  # It keeps everything that it has issued.
  - target: { kind: Deployment, name: demo-provider }
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/resources/limits/memory
        value: 2Gi
",
    ),
    ("settings.env", "RUST_LOG=info\n"),
];

pub(super) static CASES: [Case; 16] = [
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
    directory=latchkey-secrets/base/$service-tls
    openssl x509 -in $directory/tls.crt -noout -ext subjectAltName,extendedKeyUsage |
        sed -n 's/^ *\\(DNS:\\)/subjectAltName=\\1/p; s/^ *TLS Web Server.*/extendedKeyUsage=serverAuth/p;
            s/^ *TLS Web Client.*/extendedKeyUsage=clientAuth/p' >$directory.extensions
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $directory/tls.key
    openssl req -new -key $directory/tls.key -subj /CN=$service |
        openssl x509 -req -CA latchkey-secrets/ca/ca.crt -CAkey latchkey-secrets/ca/ca.key -days 30 \\
            -extfile $directory.extensions -out $directory/tls.crt
    kubectl -n $NAMESPACE create secret generic $service-tls --from-file=$directory \\
        --dry-run=client -o yaml | kubectl apply -f -
done
# The kubelet renews the files, and then the services read them.
sleep 180
",
    ),
    Case::new(
        "kubectl drain: a budget keeps one pod",
        "
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
    Case::new(
        "a Secret is missing",
        "
kubectl -n $NAMESPACE delete secret sync-svc-tls
kubectl -n $NAMESPACE rollout restart deployment/sync-svc
told 'secret \"sync-svc-tls\" not found'
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
kubectl -n $NAMESPACE logs -l app.kubernetes.io/name=auth-svc --tail=-1 | grep SHUTDOWN_DELAY
echo RUST_LOG=info >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
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
    Case {
        name: "no SHUTDOWN_DELAY: calls must fail",
        commands: "
echo SHUTDOWN_DELAY=0s >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
rolled_out
echo RUST_LOG=info >deploy/kubernetes/overlays/load/settings.env
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
",
        load: Expected::Fail,
    },
];

/// Writes the overlay of the tests.
pub(super) fn prepare(deployment: &Deployment) -> anyhow::Result<()> {
    let directory = deployment.overlay("load");
    fs::create_dir_all(&directory)?;
    for (name, text) in OVERLAY {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tests_have_the_same_name() {
        for (place, case) in CASES.iter().enumerate() {
            assert!(
                CASES
                    .iter()
                    .skip(place + 1)
                    .all(|other| other.name != case.name)
            );
        }
    }
}
