//! What the manifests must agree with: files of the repository and the output of `make-secrets`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context as _;
use latchkey_checks::manifests::make_secrets;
use latchkey_checks::{root, tracked};
use serde_json::Value;

/// What is true outside of the manifests.
pub(crate) struct Facts {
    /// The Secrets that `make-secrets` makes, with their keys.
    pub(crate) secrets: BTreeMap<String, BTreeSet<String>>,
    /// Those of them that every deployment has.
    pub(crate) base: BTreeSet<String>,
    /// The roles of its `roles.sql`.
    pub(crate) roles: BTreeSet<String>,
    /// Its `rabbitmq.json`.
    pub(crate) rabbitmq: Value,
    /// The table "What may talk to what" of the README: `auth-svc -> sync-svc 50052`.
    pub(crate) picture: BTreeSet<String>,
    /// Names of the metrics that the services emit.
    pub(crate) metrics: BTreeSet<String>,
    /// Names of the queues.
    pub(crate) queues: BTreeSet<String>,
    /// The anchors of the headings of `docs/runbook.md`.
    pub(crate) runbook: BTreeSet<String>,
}

static FACTS: LazyLock<Result<Facts, String>> =
    LazyLock::new(|| read().map_err(|error| format!("{error:#}")));

/// Applies a rule that needs the facts. That they cannot be read is a fault.
pub(crate) fn with_facts(rule: impl FnOnce(&Facts) -> Vec<String>) -> Vec<String> {
    match &*FACTS {
        Ok(facts) => rule(facts),
        Err(error) => vec![error.clone()],
    }
}

fn read() -> anyhow::Result<Facts> {
    let directory = tempfile::tempdir()?;
    let made = make_secrets(directory.path())?;
    let mut secrets = BTreeMap::new();
    for part in ["base", "dev", "cnpg", "rabbitmq-operator"] {
        for secret in names_in(&made.join(part))? {
            let keys = names_in(&made.join(part).join(&secret))?;
            secrets.insert(secret, keys);
        }
    }
    let names = std::fs::read_to_string(root().join("crates/messaging/src/topology/names.rs"))?;
    Ok(Facts {
        secrets,
        base: names_in(&made.join("base"))?,
        roles: after(
            &std::fs::read_to_string(made.join("roles.sql"))?,
            "CREATE ROLE ",
        ),
        rabbitmq: serde_json::from_slice(&std::fs::read(made.join("rabbitmq.json"))?)?,
        picture: picture()?,
        metrics: metrics()?,
        queues: after(&names, "_QUEUE: &str = \""),
        runbook: anchors(&std::fs::read_to_string(root().join("docs/runbook.md"))?),
    })
}

fn names_in(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let names = entries.map(|entry| anyhow::Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// The words that follow a text.
fn after(text: &str, start: &str) -> BTreeSet<String> {
    let is_end = |c: char| c.is_whitespace() || c == '"';
    let words = text.split(start).skip(1);
    words
        .filter_map(|rest| rest.split(is_end).next())
        .map(str::to_owned)
        .collect()
}

/// The anchors of the headings of a document, as GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().map(|c| if c == ' ' { '-' } else { c });
        kept.filter(|&c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            .collect::<String>()
    };
    headings.map(anchor).collect()
}

fn picture() -> anyhow::Result<BTreeSet<String>> {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md"))?;
    let (_, section) = readme
        .split_once("## What may talk to what")
        .context("the README has no picture")?;
    let rows = section.lines().filter_map(|line| {
        line.strip_prefix("| ")?
            .strip_suffix(" |")?
            .split_once(" | ")
    });
    let edges = rows.skip(2).flat_map(|(from, to)| {
        // An explanation in parentheses is no part of the name.
        let from = from.split(" (").next().unwrap_or(from);
        to.split(", ").map(move |to| format!("{from} -> {to}"))
    });
    Ok(edges.collect())
}

fn metrics() -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in tracked(&["rs"])? {
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let uses = file.text.split(kind).skip(1);
            let literals = uses.filter_map(|rest| rest.trim_start().strip_prefix('"'));
            names.extend(literals.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    Ok(names)
}
