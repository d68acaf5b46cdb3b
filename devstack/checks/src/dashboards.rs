//! The dashboards of `deploy/dashboards`, as far as their rules and pictures need them.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::root;

/// The names of the dashboards; the first one is for a glance.
pub const NAMES: [&str; 4] = ["overview", "sign-in", "events", "tokens"];

/// A dashboard of Grafana.
#[derive(Debug, Clone, Deserialize)]
pub struct Dashboard {
    /// Its id in addresses.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// What it answers.
    pub description: String,
    /// The panels and the rows that separate them.
    pub panels: Vec<Panel>,
    templating: Templating,
}

/// A panel, or the title of a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Number of the panel in its dashboard.
    pub id: u32,
    /// `stat`, `timeseries`, `table`, or `row`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its title.
    pub title: String,
    /// What it shows, and what to do about it.
    #[serde(default)]
    pub description: String,
    /// Its place.
    pub grid_pos: Place,
    /// What Grafana asks.
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default)]
    field_config: Value,
    #[serde(default)]
    datasource: Value,
}

/// A place on a grid of 24 columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Number of columns.
    pub w: u32,
    /// Number of rows.
    pub h: u32,
}

/// A query of a panel.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// The expression, with variables of Grafana.
    pub expr: String,
    /// Template of the name of a series; empty if there is only one.
    #[serde(rename = "legendFormat")]
    pub legend: String,
    datasource: Value,
}

#[derive(Debug, Clone, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Debug, Clone, Deserialize)]
struct Variable {
    name: String,
}

/// A step of thresholds: the colour from this value on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Threshold {
    /// Name of a colour.
    pub color: String,
    /// The value; the first step has none.
    pub value: Option<f64>,
}

impl Dashboard {
    /// Reads a dashboard.
    ///
    /// # Errors
    /// There is no such file, or it is no dashboard.
    pub fn read(name: &str) -> anyhow::Result<Self> {
        let file = directory().join(name).with_extension("json");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }

    /// The panels without the titles of rows.
    pub fn queries(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.kind != "row")
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.templating.list.iter().map(|one| one.name.as_str())
    }
}

impl Panel {
    /// The unit of its values, as Grafana names it.
    pub fn unit(&self) -> &str {
        let unit = self.field_config.pointer("/defaults/unit");
        unit.and_then(Value::as_str).unwrap_or("")
    }

    /// The steps of its thresholds.
    pub fn thresholds(&self) -> Vec<Threshold> {
        let steps = self.field_config.pointer("/defaults/thresholds/steps");
        let steps = steps.cloned().unwrap_or_default();
        serde_json::from_value(steps).unwrap_or_default()
    }

    /// Whether it and its queries ask the data source that the reader of the dashboard chooses.
    pub fn asks_the_chosen_source(&self) -> bool {
        let targets = self.targets.iter().map(|target| &target.datasource);
        let mut sources = targets.chain([&self.datasource]);
        sources.all(|source| source["uid"] == "${datasource}")
    }
}

impl Target {
    /// The expression with every variable at `All` and this interval for rates.
    pub fn expression(&self, rate_interval: &str) -> String {
        self.expr
            .replace("$__rate_interval", rate_interval)
            .replace("$namespace", ".*")
            .replace("$provider", ".*")
    }
}

/// The folder of the dashboards.
pub fn directory() -> PathBuf {
    root().join("deploy/dashboards")
}

/// Reads every dashboard.
///
/// # Errors
/// One cannot be read.
pub fn all() -> anyhow::Result<Vec<Dashboard>> {
    NAMES.into_iter().map(Dashboard::read).collect()
}
