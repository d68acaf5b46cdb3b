//! The API server accepts the overlays and their components: strict validation of fields, Pod
//! Security `restricted`, and no warning.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::deployment::Deployment;
use crate::kubectl::Kubectl;

use super::report::Row;

/// Name in the table.
pub(super) const NAME: &str = "overlays and components are accepted";
/// Components whose kinds the API server knows. CloudNativePG and the operators of RabbitMQ do not
/// publish their definitions as Go modules.
const COMPONENTS: [&str; 9] = [
    "caller-tokens",
    "cert-manager",
    "external-secrets",
    "gateway",
    "grafana",
    "ingress",
    "keda",
    "prometheus-operator",
    "tracing",
];
/// What the overlay for production has, and its line for a component.
const INGRESS: &str = "  - ../../components/ingress\n";

/// Applies the overlays, and that for production with each component, each pair, and all of them,
/// without changing anything.
pub(super) async fn run(kubectl: &Kubectl, deployment: &Deployment) -> anyhow::Result<Row> {
    let production = deployment.overlay("production");
    let namespace = production.join("namespace.yaml");
    kubectl
        .run(&["apply", "-f", &namespace.to_string_lossy()])
        .await?;
    let mut problems = Vec::new();
    let mut count = 0;
    let mut check = async |overlay: &Path, name: &str| {
        count += 1;
        if let Err(error) = accept(kubectl, overlay).await {
            problems.push(format!("{name}: {error:#}"));
        }
    };
    check(&deployment.overlay("dev"), "overlays/dev").await;
    check(&production, "overlays/production").await;
    let trial = deployment.overlay("trial");
    for components in combinations() {
        write_trial(&production, &trial, &components)?;
        check(
            &trial,
            &format!("overlays/production with {}", components.join(", ")),
        )
        .await;
    }
    Ok(Row::without_load(
        NAME,
        format!("{count} overlays"),
        problems,
    ))
}

async fn accept(kubectl: &Kubectl, overlay: &Path) -> anyhow::Result<()> {
    let overlay = overlay.to_string_lossy();
    let arguments = [
        "apply",
        "--kustomize",
        &overlay,
        "--dry-run=server",
        "--validate=strict",
        "--warnings-as-errors",
    ];
    kubectl.run(&arguments).await?;
    Ok(())
}

/// Returns each component alone, each pair, and all of them.
fn combinations() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = COMPONENTS.iter().map(|one| vec![*one]).collect();
    for (place, one) in COMPONENTS.iter().enumerate() {
        let others = COMPONENTS.iter().skip(place + 1);
        all.extend(others.map(|other| vec![*one, *other]));
    }
    all.push(COMPONENTS.to_vec());
    all
}

/// Writes a copy of the overlay for production with these components.
fn write_trial(production: &Path, trial: &Path, components: &[&str]) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(trial);
    crate::deployment::copy(production, trial)?;
    let file = trial.join("kustomization.yaml");
    let text = fs::read_to_string(&file)?;
    let (before, after) = text
        .split_once(INGRESS)
        .context("the overlay for production has no component ingress")?;
    let lines = components
        .iter()
        .map(|one| format!("  - ../../components/{one}\n"));
    let lines: String = lines.collect();
    Ok(fs::write(&file, format!("{before}{lines}{after}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_is_tried_alone_and_with_each_other() {
        let all = combinations();
        assert_eq!(all.len(), 9 + 36 + 1);
        assert!(all.contains(&vec!["ingress", "tracing"]));
    }
}
