//! The changes of the deployment, as an operator makes them.

mod faults;
mod red;
mod rotations;
mod updates;
mod upgrades;

use std::fs;
use std::path::Path;

use super::case::Case;
use faults::FAULTS;
use red::RED;
use rotations::ROTATIONS;
use updates::UPDATES;

pub(super) use upgrades::{APPLY_PREVIOUS, START_PREVIOUS, UPGRADES};

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
    # The shortest life of access tokens: the rotation of their key waits for its end.
    literals: [RATE_LIMIT_PER_ADDRESS=0, ACCESS_TOKEN_EXPIRES_IN=1m]
patches:
  # It keeps everything that it has issued. The services must not take all of the CPU from it.
  - target: { kind: Deployment, name: demo-provider }
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/resources
        value: { requests: { cpu: 250m, memory: 256Mi }, limits: { memory: 2Gi } }
",
    ),
    ("settings.env", "RUST_LOG=info\n"),
];

/// Returns every change of this release. Those that must make calls fail are the last ones.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    UPDATES.iter().chain(&ROTATIONS).chain(&FAULTS).chain(&RED)
}

/// Writes the overlay of the tests, `load`, into a directory of overlays.
pub(super) fn write_overlay(overlays: &Path) -> anyhow::Result<()> {
    let directory = overlays.join("load");
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

    fn every() -> impl Iterator<Item = &'static Case> {
        UPGRADES.iter().chain(all())
    }

    #[test]
    fn no_two_tests_have_the_same_name() {
        let names: BTreeSet<&str> = every().map(|case| case.name).collect();
        assert_eq!(names.len(), every().count());
    }

    #[test]
    fn bash_reads_the_commands() {
        for case in every() {
            let commands = format!("{FUNCTIONS}{}", case.commands);
            let read = Command::new("bash").args(["-n", "-c", &commands]).output();
            let errors = String::from_utf8(read.unwrap().stderr).unwrap();
            assert_eq!(errors, "", "{}", case.name);
        }
    }
}
