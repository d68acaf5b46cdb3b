//! Writes the rules of `deploy/prometheus` into the component `prometheus-operator`.

use std::fs;

use latchkey_checks::alerts::{prometheus_rule, prometheus_rule_file, rules_file};

fn main() -> anyhow::Result<()> {
    let rules = fs::read_to_string(rules_file())?;
    fs::write(prometheus_rule_file(), prometheus_rule(&rules))?;
    Ok(())
}
