//! No migration locks a table for long or breaks the previous version (migrations/README.md).
//!
//! squawk reads the files; its rules that are off, with the reason of each, are in
//! `migrations/squawk.toml`. A file may switch a rule off for one statement, with a comment
//! `-- squawk-ignore RULE` and the reason. The text within `DO` and functions is not read.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use latchkey_checks::root;
use latchkey_servers::{install_python, python_program, silent};
use serde::Deserialize;

/// The last migration from before this check. Those up to it are released and never edited.
const EXEMPT_UNTIL: i64 = 20_261_127_121_000;

/// The first line of a file that sqlx applies without a transaction.
const WITHOUT_TRANSACTION: &str = "-- no-transaction";

#[derive(Debug, Deserialize)]
struct Violation {
    rule_name: String,
    line: u64,
    message: String,
}

fn squawk() -> anyhow::Result<PathBuf> {
    let place = install_python(&folder(), &silent()).context("squawk-cli of PyPI is needed")?;
    Ok(python_program(&place, "squawk"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")
}

/// What squawk finds in a migration.
fn violations(squawk: &Path, sql: &str) -> anyhow::Result<Vec<Violation>> {
    let mut command = Command::new(squawk);
    command
        .arg("--config")
        .arg(folder().join("squawk.toml"))
        .args(["--reporter", "json", "--stdin-filepath", "migration.sql"]);
    if sql.lines().next() != Some(WITHOUT_TRANSACTION) {
        command.arg("--assume-in-transaction");
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run squawk")?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(sql.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("squawk did not print its findings: {errors}"))
}

/// The files that the check holds for, with their names.
fn migrations() -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("migrations/sql"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let version = name.split('_').next().unwrap_or_default().parse::<i64>();
        if version.with_context(|| name.clone().into_owned())? > EXEMPT_UNTIL {
            files.push((name.into_owned(), fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

// R46: a migration stops no sign-in.
#[test]
fn no_migration_locks_a_table_for_long_or_breaks_the_previous_version() -> anyhow::Result<()> {
    let squawk = squawk()?;
    let mut faults = Vec::new();
    for (name, sql) in migrations()? {
        for found in violations(&squawk, &sql)? {
            let (line, rule) = (found.line + 1, &found.rule_name);
            faults.push(format!("{name}:{line}: {rule}: {}", found.message));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn each_statement_that_locks_a_table_for_long_is_found() -> anyhow::Result<()> {
    let squawk = squawk()?;
    for (rule, sql) in [
        (
            "require-concurrent-index-creation",
            "CREATE INDEX a ON sync.inbox (consumer);",
        ),
        (
            "ban-concurrent-index-creation-in-transaction",
            "GRANT SELECT ON sync.inbox TO latchkey_sync;
             CREATE INDEX CONCURRENTLY a ON sync.inbox (consumer);",
        ),
        (
            "adding-field-with-default",
            "ALTER TABLE sync.inbox ADD COLUMN a uuid DEFAULT gen_random_uuid();",
        ),
        (
            "adding-required-field",
            "ALTER TABLE sync.inbox ADD COLUMN a text NOT NULL;",
        ),
        (
            "adding-not-nullable-field",
            "ALTER TABLE sync.inbox ALTER COLUMN consumer SET NOT NULL;",
        ),
        (
            "changing-column-type",
            "ALTER TABLE sync.inbox ALTER COLUMN consumer TYPE bytea USING consumer::bytea;",
        ),
        (
            "constraint-missing-not-valid",
            "ALTER TABLE sync.inbox ADD CONSTRAINT a CHECK (consumer <> '');",
        ),
        (
            "adding-foreign-key-constraint",
            "ALTER TABLE sync.inbox ADD CONSTRAINT a FOREIGN KEY (consumer) REFERENCES auth.b (c);",
        ),
        (
            "disallowed-unique-constraint",
            "ALTER TABLE sync.inbox ADD CONSTRAINT a UNIQUE (consumer);",
        ),
        (
            "ban-drop-column",
            "ALTER TABLE sync.inbox DROP COLUMN consumer;",
        ),
    ] {
        let found = violations(&squawk, sql)?;
        let is_found = found.iter().any(|one| one.rule_name == rule);
        ensure!(is_found, "{rule} is not in {found:?}");
    }
    let allowed = format!(
        "{WITHOUT_TRANSACTION}\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a ON sync.inbox (consumer);"
    );
    let found = violations(&squawk, &allowed)?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}
