//! A Prometheus that reads the services of a stack with the configuration of `deploy/prometheus`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_domain::{Clock as _, SystemClock};
use latchkey_servers::{Package, Progress, Prometheus, ensure_installed};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::build::workspace;
use crate::stack::{ServiceId, Stack};

/// A Prometheus that reads the services of a stack.
#[derive(Debug)]
pub struct Monitor {
    server: Prometheus,
    client: reqwest::Client,
}

/// A series of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Times, in seconds since 1970, with the values, which may be no numbers.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// The newest value that is a number.
    pub fn last(&self) -> Option<f64> {
        let mut values = self.points.iter().rev().map(|(_, value)| *value);
        values.find(|value| value.is_finite())
    }
}

/// A rule that Prometheus evaluates.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name of the alert or of the recorded series.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// The error of the last evaluation.
    #[serde(default)]
    pub last_error: String,
}

/// The time in seconds since 1970.
pub fn now() -> f64 {
    let elapsed = SystemClock.now() - OffsetDateTime::UNIX_EPOCH;
    elapsed.as_seconds_f64()
}

impl Monitor {
    /// Starts a server that reads the services and evaluates the rules at this interval.
    ///
    /// # Errors
    /// Prometheus cannot be installed or started.
    pub async fn start(
        stack: &Stack,
        interval: Duration,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        ensure_installed(&[Package::Prometheus], progress)?;
        let configuration = configuration(stack, interval)?;
        let server = Prometheus::start(&stack.directory(), &configuration).await?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()?;
        Ok(Self { server, client })
    }

    /// Returns what an expression is now.
    ///
    /// # Errors
    /// Prometheus refuses the expression or does not answer.
    pub async fn instant(&self, expression: &str) -> anyhow::Result<Vec<Series>> {
        let parameters = [("query", expression)];
        let found: Found<InstantSeries> = self.get("query", &parameters).await?;
        let series = found.result.into_iter();
        Ok(series
            .map(|one| Series {
                labels: one.metric,
                points: one.value.point().into_iter().collect(),
            })
            .collect())
    }

    /// Returns what an expression was between two times, in seconds since 1970.
    ///
    /// # Errors
    /// Prometheus refuses the expression or does not answer.
    pub async fn range(
        &self,
        expression: &str,
        (start, end): (f64, f64),
        step: Duration,
    ) -> anyhow::Result<Vec<Series>> {
        let [start, end] = [start, end].map(|time| time.to_string());
        let step = step.as_secs_f64().to_string();
        let parameters = [
            ("query", expression),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("step", step.as_str()),
        ];
        let found: Found<RangeSeries> = self.get("query_range", &parameters).await?;
        let series = found.result.into_iter();
        Ok(series
            .map(|one| Series {
                labels: one.metric,
                points: one.values.iter().filter_map(Sample::point).collect(),
            })
            .collect())
    }

    /// Returns every rule.
    ///
    /// # Errors
    /// Prometheus does not answer.
    pub async fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let groups: Groups = self.get("rules", &[]).await?;
        Ok(groups
            .groups
            .into_iter()
            .flat_map(|one| one.rules)
            .collect())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let url = format!("{}/api/v1/{path}", self.server.url());
        let answer = self.client.get(url).query(parameters).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path} {parameters:?}: {body}");
        let answer: Answer<T> = serde_json::from_str(&body)?;
        Ok(answer.data)
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Found<T> {
    result: Vec<T>,
}

#[derive(Deserialize)]
struct InstantSeries {
    metric: BTreeMap<String, String>,
    value: Sample,
}

#[derive(Deserialize)]
struct RangeSeries {
    metric: BTreeMap<String, String>,
    values: Vec<Sample>,
}

/// A time and a value, which is a text because it may be `NaN`.
#[derive(Deserialize)]
struct Sample(f64, String);

impl Sample {
    fn point(&self) -> Option<(f64, f64)> {
        Some((self.0, self.1.parse().ok()?))
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// The configuration that operators get, with the addresses of this stack and another interval.
fn configuration(stack: &Stack, interval: Duration) -> anyhow::Result<String> {
    let directory = workspace().join("deploy/prometheus");
    let mut text = std::fs::read_to_string(directory.join("prometheus.yaml"))?;
    let mut replace = |from: &str, to: &str| -> anyhow::Result<()> {
        anyhow::ensure!(text.contains(from), "prometheus.yaml has no {from}");
        text = text.replace(from, to);
        Ok(())
    };
    let seconds = format!("{}s", interval.as_secs().max(1));
    replace(
        "scrape_interval: 15s",
        &format!("scrape_interval: {seconds}"),
    )?;
    replace(
        "evaluation_interval: 30s",
        &format!("evaluation_interval: {seconds}"),
    )?;
    let rules = directory.join("latchkey.rules.yaml");
    replace(
        "[latchkey.rules.yaml]",
        &format!("[\"{}\"]", rules.display()),
    )?;
    for (name, port) in [
        ("auth-svc", 8083),
        ("sync-svc", 8081),
        ("refresh-svc", 8082),
    ] {
        let services = stack.services().filter(|(id, _)| program(**id) == name);
        let addresses = services.map(|(_, service)| address(service.ready_url()));
        let addresses = addresses.collect::<anyhow::Result<Vec<_>>>()?;
        replace(&format!("{name}:{port}"), &addresses.join(", "))?;
    }
    Ok(text)
}

fn program(id: ServiceId) -> &'static str {
    match id {
        ServiceId::Auth | ServiceId::AuthReplica(_) => "auth-svc",
        ServiceId::Sync => "sync-svc",
        ServiceId::Refresh(_) => "refresh-svc",
    }
}

/// The host and port of the health port.
fn address(ready_url: &str) -> anyhow::Result<String> {
    let rest = ready_url.strip_prefix("http://");
    let address = rest.and_then(|rest| rest.strip_suffix("/readyz"));
    Ok(address.context("no health port")?.to_owned())
}
