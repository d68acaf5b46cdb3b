//! The rules for Prometheus have one source, and each alert is tested.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;
use latchkey_checks::alerts::{
    alert_names, prometheus_rule, prometheus_rule_file, rule_tests_file, rules_file,
};
use latchkey_checks::root;
use latchkey_servers::{Package, ensure_installed, silent};

fn promtool(arguments: &[&str], file: &Path) -> anyhow::Result<Output> {
    ensure_installed(&[Package::Prometheus], &silent())?;
    let output = Command::new("promtool").args(arguments).arg(file).output();
    output.context("cannot run promtool")
}

/// Fails with what promtool says.
fn accepts(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
}

/// The names of the alerts of tests, and whether the alert fires in the test.
fn cases(tests: &str) -> Vec<(&str, bool)> {
    let mut lines = tests.lines().map(str::trim);
    let mut cases = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("- alertname: ") else {
            continue;
        };
        let expected = lines.find(|line| line.starts_with("exp_alerts:"));
        cases.push((name, expected == Some("exp_alerts:")));
    }
    cases
}

// R45
#[test]
fn the_operator_of_prometheus_gets_the_rules_of_the_file() -> anyhow::Result<()> {
    let made = prometheus_rule(&fs::read_to_string(rules_file())?);
    assert_eq!(
        fs::read_to_string(prometheus_rule_file())?,
        made,
        "run `cargo run -p latchkey-checks --example prometheus_rule`"
    );
    Ok(())
}

// R45
#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> anyhow::Result<()> {
    let rules = fs::read_to_string(rules_file())?;
    let tests = fs::read_to_string(rule_tests_file())?;
    let cases = cases(&tests);
    let names = alert_names(&rules);
    assert!(names.len() > 10, "{names:?}");
    for name in &names {
        for fires in [true, false] {
            assert!(cases.contains(&(name, fires)), "{name}, fires: {fires}");
        }
    }
    assert!(cases.iter().all(|(name, _)| names.contains(name)));
    Ok(())
}

// R45
#[test]
fn the_rules_and_the_configuration_are_valid_and_the_tests_of_the_alerts_pass() -> anyhow::Result<()>
{
    accepts(&promtool(&["check", "rules"], &rules_file())?);
    let configuration = root().join("deploy/prometheus/prometheus.yaml");
    accepts(&promtool(&["check", "config"], &configuration)?);
    accepts(&promtool(&["test", "rules"], &rule_tests_file())?);
    Ok(())
}

// R45
#[test]
fn an_alert_with_another_threshold_fails_its_tests() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let rules = fs::read_to_string(rules_file())?;
    let spoiled = rules.replace("latchkey_circuits_open) > 0", "latchkey_circuits_open) > 1");
    assert_ne!(rules, spoiled);
    fs::write(directory.path().join("latchkey.rules.yaml"), spoiled)?;
    let tests = fs::read_to_string(rule_tests_file())?;
    // Only those of this alert, because all take seconds.
    let (head, all) = tests.split_once("tests:\n").context("no tests")?;
    let own: String = all
        .split("  - name: ")
        .filter(|test| test.contains("LatchkeyProviderCircuitOpen"))
        .flat_map(|test| ["  - name: ", test])
        .collect();
    let file = directory.path().join("tests.yaml");
    fs::write(&file, format!("{head}tests:\n{own}"))?;
    let output = promtool(&["test", "rules"], &file)?;
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("a circuit breaker stays open"), "{text}");
    Ok(())
}
