//! The changes of the deployment, as an operator makes them.

mod faults;
mod red;
mod updates;

use std::fs;

use crate::deployment::Deployment;

use super::case::Case;
use faults::FAULTS;
use red::RED;
use updates::UPDATES;

/// Functions for the commands.
pub(super) const FUNCTIONS: &str = include_str!("cases/functions.sh");

/// Applies the overlay of the tests.
pub(super) const APPLY: &str = "
kubectl apply -k deploy/kubernetes/overlays/load
rolled_out
";

/// Undoes what a change that has failed may have left.
pub(super) const RESTORE: &str = "
kubectl uncordon node1
for directory in latchkey-secrets/base/*/; do
    replace $(basename $directory)
done
echo RUST_LOG=info >deploy/kubernetes/overlays/load/settings.env
kubectl -n $NAMESPACE set env deployment/refresh-svc DATABASE_URL-
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

/// Returns every change. Those that must make calls fail are the last ones.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    UPDATES.iter().chain(&FAULTS).chain(&RED)
}

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
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    #[test]
    fn no_two_tests_have_the_same_name() {
        let names: BTreeSet<&str> = all().map(|case| case.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn bash_reads_the_commands() {
        for case in all() {
            let commands = format!("{FUNCTIONS}{}", case.commands);
            let read = Command::new("bash").args(["-n", "-c", &commands]).output();
            let errors = String::from_utf8(read.unwrap().stderr).unwrap();
            assert_eq!(errors, "", "{}", case.name);
        }
    }
}
