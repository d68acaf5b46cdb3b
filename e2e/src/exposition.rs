//! The text format of Prometheus, as `/metrics` of a service returns it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

/// The metrics of one process at one time.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The families by their names.
    pub families: BTreeMap<String, Family>,
}

/// One family of metrics.
#[derive(Debug, Default)]
pub struct Family {
    /// The text after `# HELP`.
    pub help: String,
    /// The word after `# TYPE`.
    pub kind: String,
    /// The names of the labels of its series, without `le`.
    pub labels: BTreeSet<String>,
    /// The series, name with labels, and their values.
    pub series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads the text.
    ///
    /// # Errors
    /// A line cannot be read, or a series belongs to no family.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            all.read_line(line).with_context(|| line.to_owned())?;
        }
        Ok(all)
    }

    /// Returns the names of all series, with their labels.
    pub fn series(&self) -> BTreeSet<&str> {
        let families = self.families.values();
        families
            .flat_map(|family| family.series.keys().map(String::as_str))
            .collect()
    }

    /// Returns the sum of the series of a family, such as `latchkey_sign_ins_total`, whose labels
    /// contain this text. For a histogram, of its `_count`.
    pub fn sum(&self, family: &str, labels: &str) -> f64 {
        let Some(family) = self.families.get(family) else {
            return 0.0;
        };
        let is_wanted = |name: &str| {
            name.contains(labels) && (family.kind != "histogram" || name.contains("_count"))
        };
        let series = family.series.iter();
        series
            .filter(|(name, _)| is_wanted(name))
            .map(|(_, value)| value)
            .sum()
    }

    fn read_line(&mut self, line: &str) -> anyhow::Result<()> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("no text")?;
            help.clone_into(&mut self.families.entry(name.to_owned()).or_default().help);
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("no type")?;
            kind.clone_into(&mut self.families.entry(name.to_owned()).or_default().kind);
            return Ok(());
        }
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let base = |suffix: &'static str| name.strip_suffix(suffix);
        let family = ["_bucket", "_sum", "_count"]
            .into_iter()
            .filter_map(base)
            .chain([name])
            .find(|name| self.families.contains_key(*name))
            .context("no family")?
            .to_owned();
        let family = self.families.entry(family).or_default();
        // A value of a label is without quotes in all of our metrics.
        let names = labels.split('"').step_by(2);
        let names = names.filter_map(|part| part.trim_start_matches(',').strip_suffix('='));
        family
            .labels
            .extend(names.filter(|name| *name != "le").map(str::to_owned));
        family.series.insert(series.to_owned(), value.parse()?);
        Ok(())
    }
}
