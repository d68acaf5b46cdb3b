//! What a rule is, and the renderings that it is applied to.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::{Context as _, ensure};
use latchkey_checks::manifests::{Container, Rendering, render, text};
use latchkey_servers::silent;
use serde_json::Value;

/// The services of Latchkey; each is a Deployment.
pub(crate) const SERVICES: [&str; 3] = ["auth-svc", "refresh-svc", "sync-svc"];

/// An object that is not there.
pub(crate) static NOTHING: Value = Value::Null;

/// A rule of the manifests.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// What breaks the rule, one text for each fault.
    pub(crate) faults: fn(&Rendering) -> Vec<String>,
    /// Breaks this rule and no other; `None` if the place to break is not there.
    pub(crate) spoil: fn(&mut Rendering) -> Option<()>,
}

/// Declares rules with a test for each: its name, its faults, and what breaks it.
macro_rules! rules {
    ($($name:ident: $faults:expr, unless $spoil:expr;)*) => {
        pub(crate) const RULES: &[$crate::rule::Rule] = &[$($crate::rule::Rule {
            name: stringify!($name),
            faults: $faults,
            spoil: $spoil,
        }),*];

        $(
            // R44
            #[test]
            fn $name() -> anyhow::Result<()> {
                $crate::rule::check(RULES, stringify!($name))
            }
        )*
    };
}
pub(crate) use rules;

static RENDERINGS: LazyLock<Result<Vec<Rendering>, String>> =
    LazyLock::new(|| render(&silent()).map_err(|error| format!("{error:#}")));

/// The renderings, which are made once.
pub(crate) fn renderings() -> anyhow::Result<&'static [Rendering]> {
    match &*RENDERINGS {
        Ok(renderings) => Ok(renderings),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    }
}

/// Applies a rule to every rendering.
pub(crate) fn check(rules: &[Rule], name: &str) -> anyhow::Result<()> {
    let rule = rules.iter().find(|rule| rule.name == name);
    let rule = rule.context("no such rule")?;
    let mut faults = BTreeSet::new();
    for rendering in renderings()? {
        let Rendering {
            overlay,
            components,
            ..
        } = rendering;
        let found = (rule.faults)(rendering).into_iter();
        faults.extend(found.map(|fault| format!("{fault} ({overlay}, {})", components.join("+"))));
    }
    let faults: Vec<_> = faults.into_iter().collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// What a fault calls an object or a container.
pub(crate) trait Title {
    fn title(&self) -> String;
}

impl Title for &Value {
    fn title(&self) -> String {
        let (kind, name) = (text(self, "/kind"), text(self, "/metadata/name"));
        format!("{kind} {name}")
    }
}

impl Title for Container<'_> {
    fn title(&self) -> String {
        let name = text(self.spec, "/name");
        format!("{}, container {name}", self.workload.title())
    }
}

/// The items that are not as they must be.
pub(crate) fn each<T: Title>(
    items: impl IntoIterator<Item = T>,
    is_right: impl Fn(&T) -> bool,
) -> Vec<String> {
    let wrong = items.into_iter().filter(|item| !is_right(item));
    wrong.map(|item| item.title()).collect()
}

/// A fault unless something is as it must be.
pub(crate) fn fault_unless(is_right: bool, fault: &str) -> Vec<String> {
    if is_right {
        Vec::new()
    } else {
        vec![fault.to_owned()]
    }
}

/// The texts that only one of two sets has.
pub(crate) fn differences(is: &BTreeSet<String>, should: &BTreeSet<String>) -> Vec<String> {
    let more = is.difference(should).map(|one| format!("too much: {one}"));
    let less = should.difference(is).map(|one| format!("missing: {one}"));
    more.chain(less).collect()
}

/// The `ConfigMaps` with dashboards, which Grafana reads and no pod of Latchkey.
pub(crate) fn dashboards(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    rendering
        .of_kind("ConfigMap")
        .filter(|map| is_dashboard(map))
}

/// The `ConfigMaps` that pods of Latchkey read.
pub(crate) fn settings(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    rendering
        .of_kind("ConfigMap")
        .filter(|map| !is_dashboard(map))
}

fn is_dashboard(map: &Value) -> bool {
    text(map, "/metadata/name").starts_with("grafana-dashboard-")
}

/// The Deployments of the services.
pub(crate) fn services(rendering: &Rendering) -> impl Iterator<Item = &Value> {
    rendering
        .of_kind("Deployment")
        .filter(|object| SERVICES.contains(&text(object, "/metadata/name")))
}

/// The containers of Deployments.
pub(crate) fn deployed(rendering: &Rendering) -> Vec<Container<'_>> {
    let mut containers = rendering.containers();
    containers.retain(|container| text(container.workload, "/kind") == "Deployment");
    containers
}

/// The containers that are services.
pub(crate) fn serving(rendering: &Rendering) -> Vec<Container<'_>> {
    let mut containers = rendering.containers();
    containers.retain(|container| SERVICES.contains(&text(container.spec, "/name")));
    containers
}

/// A label of an object or, with another path, of its pods.
pub(crate) fn label<'a>(labels: &'a Value, name: &str) -> &'a str {
    labels[name].as_str().unwrap_or("")
}

/// The labels of the pods of a workload.
pub(crate) fn pod_labels(workload: &Value) -> &Value {
    &workload["spec"]["template"]["metadata"]["labels"]
}

/// Whether a selector (`matchLabels` and the operator `In`) selects something with these labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |(name, value): (&String, &Value)| labels[name.as_str()] == *value;
    let pairs = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    pairs.is_none_or(|pairs| pairs.iter().all(has))
        && expressions.is_none_or(|expressions| {
            expressions.iter().all(|one| {
                let values = one["values"].as_array();
                let is = &labels[text(one, "/key")];
                text(one, "/operator") == "In" && values.is_some_and(|list| list.contains(is))
            })
        })
}

/// Seconds of a duration that is written as `15s`.
pub(crate) fn seconds(duration: &str) -> Option<u64> {
    duration.strip_suffix('s')?.parse().ok()
}
