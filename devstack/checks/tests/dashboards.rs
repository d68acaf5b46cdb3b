//! The dashboards are complete, and import without a change. `e2e/tests/monitoring.rs` runs their
//! queries.

use std::collections::BTreeSet;

use latchkey_checks::alerts::rules_file;
use latchkey_checks::dashboards::{Dashboard, NAMES, Panel, all, directory};

/// The panels that are not as they must be.
fn each(is_right: impl Fn(&Dashboard, &Panel) -> bool) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for dashboard in all()? {
        let panels = dashboard.queries();
        let faults = panels.filter(|panel| !is_right(&dashboard, panel));
        wrong.extend(faults.map(|panel| format!("{}: {}", dashboard.title, panel.title)));
    }
    Ok(wrong)
}

/// The names of variables in an expression, without those that Grafana has itself.
fn variables_in(expression: &str) -> BTreeSet<&str> {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let uses = expression.split('$').skip(1);
    let names = uses.filter_map(|rest| rest.split(is_end).next());
    names
        .filter(|name| !name.is_empty() && !name.starts_with("__"))
        .collect()
}

/// The lists of more than two outcomes in a text: what counts as a fault.
fn outcome_lists(text: &str) -> BTreeSet<&str> {
    let lists = text.split("outcome=~\"").skip(1);
    let lists = lists.filter_map(|rest| rest.split('"').next());
    lists.filter(|list| list.matches('|').count() > 1).collect()
}

// R45
#[test]
fn every_panel_says_what_it_shows_in_which_unit() -> anyhow::Result<()> {
    let wrong = each(|_, panel| {
        let ends = [panel.description.as_str(), &panel.title].map(str::trim);
        ends.iter().all(|text| !text.is_empty())
            && panel.description.ends_with('.')
            && !panel.unit().is_empty()
            && !panel.thresholds().is_empty()
            && !panel.targets.is_empty()
    })?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

// R45
#[test]
fn a_panel_with_several_queries_names_their_series() -> anyhow::Result<()> {
    let wrong = each(|_, panel| {
        panel.targets.len() == 1 || panel.targets.iter().all(|target| !target.legend.is_empty())
    })?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

// R45
#[test]
fn every_query_asks_the_source_and_the_deployment_that_the_reader_chooses() -> anyhow::Result<()> {
    let wrong = each(|dashboard, panel| {
        let declared: BTreeSet<_> = dashboard.variables().collect();
        panel.asks_the_chosen_source()
            && declared.contains("datasource")
            && panel.targets.iter().all(|target| {
                let used = variables_in(&target.expr);
                used.contains("namespace") && used.is_subset(&declared)
            })
    })?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

// R45
#[test]
fn no_two_panels_have_one_place_or_number() -> anyhow::Result<()> {
    for dashboard in all()? {
        let numbers: BTreeSet<_> = dashboard.panels.iter().map(|panel| panel.id).collect();
        assert_eq!(numbers.len(), dashboard.panels.len(), "{}", dashboard.title);
        let mut taken = BTreeSet::new();
        for panel in &dashboard.panels {
            let place = panel.grid_pos;
            assert!(place.x + place.w <= 24, "{}", panel.title);
            for column in place.x..place.x + place.w {
                for row in place.y..place.y + place.h {
                    assert!(taken.insert((column, row)), "{}", panel.title);
                }
            }
        }
    }
    Ok(())
}

// R45
#[test]
fn every_file_is_a_dashboard_with_an_id_of_its_own_and_is_delivered() -> anyhow::Result<()> {
    let files = std::fs::read_dir(directory())?;
    let names = files.map(|file| anyhow::Ok(file?.file_name().to_string_lossy().into_owned()));
    let names: BTreeSet<String> = names.collect::<anyhow::Result<_>>()?;
    let mut expected: BTreeSet<_> = NAMES.map(|name| format!("{name}.json")).into();
    expected.insert("kustomization.yaml".to_owned());
    assert_eq!(names, expected);
    let kustomization = std::fs::read_to_string(directory().join("kustomization.yaml"))?;
    for name in NAMES {
        let dashboard = Dashboard::read(name)?;
        assert_eq!(dashboard.uid, format!("latchkey-{name}"));
        assert!(!dashboard.description.is_empty());
        let line = format!("files: [latchkey-{name}.json={name}.json]");
        assert!(kustomization.contains(&line), "{line}");
    }
    Ok(())
}

// R45
#[test]
fn a_fault_is_the_same_in_dashboards_and_alerts() -> anyhow::Result<()> {
    let rules = std::fs::read_to_string(rules_file())?;
    let faults = outcome_lists(&rules);
    assert_eq!(faults.len(), 3, "{faults:#?}");
    let wrong = each(|_, panel| {
        let mut targets = panel.targets.iter();
        targets.all(|target| outcome_lists(&target.expr).is_subset(&faults))
    })?;
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
