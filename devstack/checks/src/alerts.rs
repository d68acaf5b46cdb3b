//! The rules for Prometheus, and the object with which its operator takes them.

use std::path::PathBuf;

use crate::root;

/// What stands before the groups in the object.
const OBJECT: &str = "\
# Made from deploy/prometheus/latchkey.rules.yaml by `cargo run -p latchkey-checks --example
# prometheus_rule`. Change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: latchkey
spec:
";

/// Path of the rules.
pub fn rules_file() -> PathBuf {
    root().join("deploy/prometheus/latchkey.rules.yaml")
}

/// Path of the tests of the rules.
pub fn rule_tests_file() -> PathBuf {
    root().join("deploy/prometheus/latchkey.tests.yaml")
}

/// Path of the object of the component `prometheus-operator` that has the same rules.
pub fn prometheus_rule_file() -> PathBuf {
    root().join("deploy/kubernetes/components/prometheus-operator/rules.yaml")
}

/// Returns the text of the object that has the groups of a file of rules.
pub fn prometheus_rule(rules: &str) -> String {
    let lines = rules.lines().skip_while(|line| *line != "groups:");
    let indented = lines.map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    format!("{OBJECT}{}", indented.collect::<String>())
}

/// The names of the alerts in a file of rules.
pub fn alert_names(rules: &str) -> Vec<&str> {
    let lines = rules.lines().map(str::trim_start);
    lines
        .filter_map(|line| line.strip_prefix("- alert: "))
        .collect()
}
