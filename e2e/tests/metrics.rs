//! `/metrics` of every service, checked by promtool and compared with docs/operate.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use devstack::walkthrough::{get_access_token, refresh_access_token};
use devstack::{ServiceId, Stack};
use latchkey_checks::root;
use latchkey_demo_provider::Decision;
use latchkey_e2e::exposition::Exposition;
use latchkey_e2e::{account, eventually, run, shared, sign_in};
use latchkey_servers::{Package, ensure_installed, silent};

const SERVICES: [(ServiceId, &str); 3] = [
    (ServiceId::Auth, "auth-svc"),
    (ServiceId::Sync, "sync-svc"),
    (ServiceId::Refresh(0), "refresh-svc"),
];

/// Returns the text of `/metrics` of each service.
async fn scrape(stack: &Stack) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut texts = Vec::new();
    for (id, name) in SERVICES {
        let mut services = stack.services();
        let (_, service) = services.find(|(of, _)| **of == id).context(name)?;
        let url = service.ready_url().replace("/readyz", "/metrics");
        texts.push((name, reqwest::get(url).await?.text().await?));
    }
    Ok(texts)
}

/// Fails if promtool has something to say.
fn check(name: &str, text: &str) -> anyhow::Result<()> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = promtool.stdin.take().context("no input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    anyhow::ensure!(output.status.success() && said.is_empty(), "{name}: {said}");
    Ok(())
}

// R45
#[test]
fn promtool_accepts_the_metrics_of_every_service_and_traffic_creates_no_series()
-> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Prometheus], &silent())?;
        let stack = shared().await?;
        let before = scrape(&stack).await?;
        for (name, text) in &before {
            check(name, text)?;
        }

        sign_in(&stack, "/auth/google", &Decision::allow("ada")).await?;
        let account = account(&stack, "google", "ada@acme.example").await?;
        let mut tokens = stack.tokens(0).await?;
        let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
        refresh_access_token(&mut tokens, account.id, token.version).await?;

        let counted = [
            (
                "auth-svc",
                "latchkey_sign_ins_total",
                r#"outcome="signed_in""#,
            ),
            ("auth-svc", "latchkey_flows_started_total", ""),
            ("auth-svc", "latchkey_outbox_publish_seconds", ""),
            ("auth-svc", "latchkey_database_acquire_seconds", ""),
            (
                "sync-svc",
                "latchkey_messages_total",
                r#"outcome="handled""#,
            ),
            ("sync-svc", "latchkey_event_lag_seconds", ""),
            ("sync-svc", "latchkey_queue_checks_total", ""),
            ("sync-svc", "latchkey_database_acquire_seconds", ""),
            ("refresh-svc", "latchkey_token_age_seconds", ""),
            (
                "refresh-svc",
                "latchkey_refreshes_total",
                r#"outcome="refreshed""#,
            ),
            ("refresh-svc", "latchkey_database_acquire_seconds", ""),
            ("refresh-svc", "latchkey_database_turn_seconds", ""),
            ("refresh-svc", "latchkey_cached_accounts", ""),
            ("refresh-svc", "latchkey_build_info", "commit="),
            ("refresh-svc", "process_resident_memory_bytes", ""),
            ("refresh-svc", "process_open_fds", ""),
            ("refresh-svc", "process_start_time_seconds", ""),
        ];
        let after = eventually("the traffic is counted", async || {
            let texts = scrape(&stack).await?;
            let read = texts
                .iter()
                .map(|(name, text)| anyhow::Ok((*name, Exposition::read(text)?)));
            let read: BTreeMap<_, _> = read.collect::<Result<_, _>>()?;
            let is_counted = |(service, family, labels): &(&str, &str, &str)| {
                read.get(service)
                    .is_some_and(|all| all.sum(family, labels) > 0.0)
            };
            Ok(counted.iter().all(is_counted).then_some(texts))
        })
        .await?;
        for ((name, text), (_, earlier)) in after.iter().zip(&before) {
            check(name, text)?;
            let (now, earlier) = (Exposition::read(text)?, Exposition::read(earlier)?);
            let earlier = earlier.series();
            let new: Vec<_> = now
                .series()
                .into_iter()
                .filter(|one| !earlier.contains(one))
                .map(str::to_owned)
                .collect();
            assert!(new.is_empty(), "{name}: not there from the start: {new:#?}");
        }
        Ok(())
    })
}

/// A row of the table of docs/operate.md.
struct Row {
    kind: String,
    labels: BTreeSet<String>,
    unit: String,
    services: BTreeSet<String>,
}

/// Reads the table `metric | type | labels | unit | service | meaning`.
fn table() -> anyhow::Result<BTreeMap<String, Row>> {
    let document = fs::read_to_string(root().join("docs/operate.md"))?;
    let (_, section) = document
        .split_once("\n## Metrics\n")
        .context("no section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, service, meaning] = cells[..] else {
            anyhow::bail!("not six cells: {line}");
        };
        anyhow::ensure!(!meaning.is_empty(), "no meaning: {line}");
        let words = |cell: &str| -> BTreeSet<String> {
            let words = cell.split([' ', ',']).filter(|word| !word.is_empty());
            words
                .map(|word| word.trim_matches('`').to_owned())
                .collect()
        };
        let services = match service {
            "all" => SERVICES.map(|(_, name)| name.to_owned()).into(),
            one => words(one),
        };
        let row = Row {
            kind: kind.to_owned(),
            labels: words(labels),
            unit: unit.to_owned(),
            services,
        };
        let earlier = rows.insert(name.trim_matches('`').to_owned(), row);
        anyhow::ensure!(earlier.is_none(), "twice: {line}");
    }
    Ok(rows)
}

/// What is wrong about the name of a family with this unit, if anything.
fn fault_of_name(name: &str, row: &Row) -> Option<String> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let is_counter = row.kind == "counter";
    let has_unit = match row.unit.as_str() {
        "seconds" => base.ends_with("_seconds"),
        "bytes" => base.ends_with("_bytes"),
        "" => false,
        _ => !base.ends_with("_seconds") && !base.ends_with("_bytes"),
    };
    (is_counter != name.ends_with("_total") || !has_unit).then(|| {
        format!(
            "{name} does not say that it is a {} of {}",
            row.kind, row.unit
        )
    })
}

// R45
#[test]
fn the_table_of_metrics_has_every_family_with_its_type_labels_and_unit_and_no_other()
-> anyhow::Result<()> {
    run(async {
        let stack = shared().await?;
        let rows = table()?;
        let mut faults: Vec<String> = rows
            .iter()
            .filter_map(|(name, row)| fault_of_name(name, row))
            .collect();
        let mut missing: BTreeSet<(String, String)> = BTreeSet::new();
        for (name, row) in &rows {
            let of_it = row.services.iter();
            missing.extend(of_it.map(|service| (service.clone(), name.clone())));
        }
        for (service, text) in scrape(&stack).await? {
            for (name, family) in Exposition::read(&text)?.families {
                missing.remove(&(service.to_owned(), name.clone()));
                let Some(row) = rows.get(&name) else {
                    faults.push(format!("{name} of {service} is not in the table"));
                    continue;
                };
                if !row.services.contains(service) {
                    faults.push(format!("{name}: {service} has it too"));
                }
                if family.help.is_empty() {
                    faults.push(format!("{name} has no HELP"));
                }
                if family.kind != row.kind {
                    faults.push(format!("{name} is a {}", family.kind));
                }
                if family.labels != row.labels {
                    faults.push(format!("{name} has the labels {:?}", family.labels));
                }
            }
        }
        faults.extend(
            missing
                .iter()
                .map(|(service, name)| format!("{service} has no {name}")),
        );
        assert!(faults.is_empty(), "{faults:#?}");
        Ok(())
    })
}
