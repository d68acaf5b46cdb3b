//! The program as a process: its help, its exit codes and its errors.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::CommandFactory as _;
use latchkey::needs;
use latchkey_checks::root;
use latchkey_testkit::{Role, TestBroker, TestDatabase};

fn latchkey(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The paths of all commands that have no commands below them.
fn leaves(command: &clap::Command, above: &str) -> BTreeSet<String> {
    let below: Vec<_> = command.get_subcommands().collect();
    if below.is_empty() {
        return BTreeSet::from([above.trim().to_owned()]);
    }
    let paths = below
        .into_iter()
        .flat_map(|sub| leaves(sub, &format!("{above} {}", sub.get_name())));
    paths.collect()
}

#[test]
fn every_command_says_once_what_it_needs() {
    let named: Vec<&str> = needs::NEEDS
        .iter()
        .flat_map(|needs| needs.commands.iter().copied())
        .collect();
    let set: BTreeSet<String> = named.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(named.len(), set.len(), "a command is there twice");
    assert_eq!(set, leaves(&latchkey::Cli::command(), ""));
    for path in set {
        let arguments: Vec<&str> = path.split(' ').chain(["--help"]).collect();
        let output = latchkey(&arguments, &[]);
        let help = text(&output.stdout);
        assert!(output.status.success(), "{path}");
        for part in ["Role of the database: ", "Variables: ", "Network: "] {
            assert!(help.contains(part), "{path}: {help}");
        }
    }
}

#[test]
fn the_table_of_the_documentation_is_that_of_the_program() {
    let document = std::fs::read_to_string(root().join("docs/operate.md")).unwrap();
    let table = needs::table();
    assert!(
        document.contains(&table),
        "docs/operate.md must contain:\n{table}"
    );
}

/// The files below a directory with this extension.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found
}

/// The commands between backquotes.
fn quoted_commands(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| quoted.strip_prefix("latchkey "))
}

// R42: a remedy can be typed as it stands.
#[test]
fn every_command_that_doctor_advises_can_be_typed() {
    let id = "00000000-0000-4000-8000-000000000001";
    let mut seen = 0;
    for file in files(&root().join("crates/doctor/src/checks"), "rs") {
        let source = std::fs::read_to_string(&file).unwrap();
        let literals: String = source
            .split("\\\n")
            .enumerate()
            .map(|(position, part)| {
                if position == 0 {
                    part
                } else {
                    part.trim_start()
                }
            })
            .collect();
        let code: Vec<&str> = literals
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for command in quoted_commands(&code.join("\n")) {
            let words = command
                .replace("{domain}", "acme.example")
                .replace("{address}", "ada@acme.example")
                .replace("<name>", "Acme")
                .replace("{}", id);
            let typed = std::iter::once("latchkey").chain(words.split(' '));
            let parsed = latchkey::parse(typed);
            assert!(parsed.is_ok(), "{}: {command}: {parsed:?}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn every_command_in_the_documents_exists() {
    let tree = latchkey::Cli::command();
    let mut documents = files(&root().join("docs"), "md");
    documents.push(root().join("README.md"));
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for command in quoted_commands(&text) {
            let mut at = &tree;
            for word in command.split_whitespace() {
                if !at.has_subcommands() {
                    break;
                }
                let found = at.find_subcommand(word);
                // Several commands at once, an option, or what stands for a command.
                let is_other = word.contains(|c: char| !c.is_ascii_lowercase() && c != '-');
                if is_other || word.starts_with('-') {
                    break;
                }
                at = found.unwrap_or_else(|| panic!("{}: {command}", document.display()));
            }
        }
    }
}

// R42 R43: 78 if doctor's own configuration cannot be read, 0 without and 1 with a finding.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_findings_from_what_it_could_not_look_at() {
    let nowhere = latchkey(&["doctor", "--env", "auth-svc=/nowhere/auth.env"], &[]);
    assert_eq!(nowhere.status.code(), Some(78), "{nowhere:?}");
    let nothing = latchkey(&["doctor"], &[]);
    assert_eq!(nothing.status.code(), Some(78), "{nothing:?}");

    let database = TestDatabase::create().await;
    let url = database.url(Role::Operator);
    for arguments in [&["doctor", "--json"][..], &["--json", "doctor"]] {
        let healthy = latchkey(arguments, &[("DATABASE_URL", &url)]);
        assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
        let report: serde_json::Value = serde_json::from_slice(&healthy.stdout).unwrap();
        assert_eq!(report["healthy"], true, "{report}");
    }
    let wrong = url.replacen("operator_person", "nobody_here", 1);
    let broken = latchkey(&["doctor"], &[("DATABASE_URL", &wrong)]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    let text = text(&broken.stdout);
    assert!(
        text.starts_with("the database refuses the role or its password"),
        "{text}"
    );
}

#[test]
fn exit_codes_tell_wrong_arguments_from_a_wrong_configuration() {
    let wrong = latchkey(&["workspace", "invent"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    let missing = latchkey(&["workspace", "list"], &[]);
    assert_eq!(missing.status.code(), Some(78));
    let error = text(&missing.stderr);
    assert!(
        error.starts_with("latchkey: DATABASE_URL: is missing"),
        "{error}"
    );
    let url = "postgres://somebody:s3cret@127.0.0.1:1/latchkey";
    let unreachable = latchkey(&["workspace", "list"], &[("DATABASE_URL", url)]);
    assert_eq!(unreachable.status.code(), Some(1));
    let error = text(&unreachable.stderr);
    assert!(
        error.contains("connection refused by 127.0.0.1:1") && !error.contains("s3cret"),
        "{error}"
    );
    let url = "amqp://somebody:s3cret@127.0.0.1:1/latchkey";
    let unreachable = latchkey(&["parked", "list"], &[("AMQP_URL", url)]);
    assert_eq!(unreachable.status.code(), Some(1));
    let error = text(&unreachable.stderr);
    assert!(
        error.contains("connection refused by 127.0.0.1:1") && !error.contains("s3cret"),
        "{error}"
    );
}

#[test]
fn a_shell_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = latchkey(&["completion", shell], &[]);
        assert!(output.status.success());
        assert!(
            text(&output.stdout).contains("approve-domain"),
            "{shell}: {output:?}"
        );
    }
}

#[test]
fn no_color_is_respected_even_if_colors_are_forced() {
    let forced = ("CLICOLOR_FORCE", "1");
    let colored = text(&latchkey(&["--help"], &[forced]).stdout);
    assert!(colored.contains('\u{1b}'), "{colored}");
    let plain = text(&latchkey(&["--help"], &[forced, ("NO_COLOR", "1")]).stdout);
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn a_command_does_not_fail_if_its_output_pipe_is_closed() {
    for arguments in [&["keys", "generate"][..], &["--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args(arguments)
            .env_clear()
            .stdout(writer)
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_role_and_what_it_may_not_do() {
    let database = TestDatabase::create().await;
    // The role of another service.
    let url = database.url(Role::Refresh);
    let output = latchkey(&["workspace", "list"], &[("DATABASE_URL", &url)]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("permission denied for schema auth")
            && error.contains("the role refresh_svc of DATABASE_URL"),
        "{error}"
    );
    // A service may not delete its own audit records.
    let url = database.url(Role::Auth);
    let prune = ["audit", "prune", "changes", "--older-than", "30d"];
    let error = text(&latchkey(&prune, &[("DATABASE_URL", &url)]).stderr);
    assert!(
        error.contains("audit_prune") && error.contains("the role auth_svc"),
        "{error}"
    );
    let unknown = url.replace("//auth_svc:", "//nobody:");
    let error = text(&latchkey(&["workspace", "list"], &[("DATABASE_URL", &unknown)]).stderr);
    assert!(error.contains("refuses the role nobody"), "{error}");
    let (server, _) = url.rsplit_once('/').unwrap();
    let missing = format!("{server}/no_such_database");
    let error = text(&latchkey(&["workspace", "list"], &[("DATABASE_URL", &missing)]).stderr);
    assert!(
        error.contains("\"no_such_database\" does not exist") && error.contains("latchkey-migrate"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_prunes_every_audit_and_reads_the_migrations() {
    let database = TestDatabase::create().await;
    let url = database.url(Role::Operator);
    let variables = [("DATABASE_URL", url.as_str())];
    for records in ["changes", "accounts", "tokens"] {
        let prune = ["audit", "prune", records, "--older-than", "30d", "--json"];
        let output = latchkey(&prune, &variables);
        let pruned: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{records}: {output:?}"));
        assert_eq!(pruned["pruned"], 0);
    }
    let status = latchkey(&["migrations", "status"], &variables);
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    let wait = latchkey(&["migrations", "wait", "--timeout", "5s"], &variables);
    assert_eq!(wait.status.code(), Some(0), "{wait:?}");
    // A migration that is missing is a finding.
    sqlx::query(
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let status = latchkey(&["migrations", "status"], &variables);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(text(&status.stdout).contains("  missing  "), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_named_when_it_refuses() {
    let broker = TestBroker::create().await;
    // No service has declared the queue yet.
    let output = latchkey(&["parked", "count"], &[("AMQP_URL", broker.url())]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("NOT_FOUND") && error.contains("AMQP_URL"),
        "{error}"
    );
}
