//! Rules of the manifests of Kubernetes. Each is a test, and one more test breaks each of them.

mod facts;
mod network_edges;
mod rule;
mod rules;
mod spoil;

use std::collections::BTreeSet;

use anyhow::Context as _;
use latchkey_checks::manifests::validate;
use latchkey_servers::silent;
use serde_json::json;

use rule::{Rule, renderings};

/// Every rule of every module of `rules`.
fn all() -> impl Iterator<Item = &'static Rule> {
    rules::ALL.iter().copied().flatten()
}

// R44
#[test]
fn each_rule_notices_what_breaks_it_and_no_other_rule_does() -> anyhow::Result<()> {
    let renderings = renderings()?;
    let full = renderings
        .iter()
        .filter(|rendering| rendering.overlay == "production")
        .max_by_key(|rendering| rendering.components.len())
        .context("no rendering of production")?;
    let mut wrong = Vec::new();
    for broken in all() {
        let mut rendering = full.clone();
        if (broken.spoil)(&mut rendering).is_none() {
            wrong.push(format!("{}: there is nothing to spoil", broken.name));
            continue;
        }
        let complaints: BTreeSet<_> = all()
            .filter(|rule| !(rule.faults)(&rendering).is_empty())
            .map(|rule| rule.name)
            .collect();
        if complaints != BTreeSet::from([broken.name]) {
            wrong.push(format!("{}: noticed by {complaints:?}", broken.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

// R44
#[test]
fn every_object_has_the_form_that_each_supported_version_of_kubernetes_wants() -> anyhow::Result<()>
{
    // Rendering validates.
    assert!(renderings()?.len() > 20);
    let unknown_field = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "dat": {},
    });
    let unknown_kind = json!({
        "apiVersion": "apps/v2", "kind": "Deployment", "metadata": { "name": "b" },
    });
    let faults = validate(&[unknown_field, unknown_kind], &silent())?;
    for version in ["1.34", "1.35", "1.36", "1.37"] {
        assert!(
            faults.contains(&format!("ConfigMap a, Kubernetes {version}: ")),
            "{faults}"
        );
        let missing = format!(
            "Deployment b: Couldn't find schema for kind Deployment with api version apps/v2 \
             for kubernetes version {version}"
        );
        assert!(faults.contains(&missing), "{faults}");
    }
    Ok(())
}
