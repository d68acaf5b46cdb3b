//! `config check` and `config list` of every program, compared with `docs/configuration.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use devstack::build::binary;

const DOCUMENT: &str = include_str!("../../docs/configuration.md");

const COMMON: &str = "All services";
const PROVIDERS: &str = "Providers (auth-svc and refresh-svc)";
const MIGRATE: &str = "latchkey-migrate";

/// Each program, and the sections of the document that have its variables.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("auth-svc", &[COMMON, "auth-svc", PROVIDERS]),
    ("sync-svc", &[COMMON, "sync-svc"]),
    ("refresh-svc", &[COMMON, "refresh-svc", PROVIDERS]),
    (MIGRATE, &[]),
];

/// Exit code for a wrong configuration (`EX_CONFIG`).
const WRONG_CONFIGURATION: i32 = 78;

fn run(program: &str, arguments: &[&str], set: &[(&str, &str)]) -> anyhow::Result<Output> {
    let output = Command::new(binary(program)?)
        .args(arguments)
        .env_clear()
        .envs(set.iter().copied())
        .output()?;
    Ok(output)
}

/// The variables that a program reads if there is a definition of a provider `NAME`.
fn read_by(program: &str) -> anyhow::Result<BTreeSet<String>> {
    let set = [
        ("AUTH_OIDC_NAME_ISSUER", "https://id.example.com"),
        ("SYNC_GRPC_URL", "https://sync-svc:50052"),
    ];
    let output = run(program, &["config", "list"], &set)?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The variables in the first column of the tables, by section.
fn documented() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut sections: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut section = "";
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        let cell = line
            .strip_prefix("| `")
            .and_then(|row| row.split(" | ").next())
            .unwrap_or_default();
        for name in cell.split('`').step_by(2) {
            let names = ["GOOGLE", "MICROSOFT", "OIDC_NAME"]
                .map(|provider| name.replace("<P>", provider).replace("<NAME>", "NAME"));
            let names = names.into_iter().filter(|name| is_name(name));
            sections
                .entry(section)
                .or_default()
                .extend(names.map(value_name));
        }
    }
    sections
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.bytes().all(letter)
}

/// The name without `_FILE`, unless that belongs to it.
fn value_name(name: String) -> String {
    match name.strip_suffix("_FILE") {
        Some(value_name) if name != "SSL_CERT_FILE" => value_name.to_owned(),
        _ => name,
    }
}

// R40
#[test]
fn the_document_describes_the_variables_that_each_program_reads() -> anyhow::Result<()> {
    let documented = documented();
    let all: BTreeSet<_> = documented.values().flatten().cloned().collect();
    assert!(all.len() > 100, "{all:?}");
    for (program, sections) in PROGRAMS {
        let read = read_by(program)?;
        let own: BTreeSet<_> = sections
            .iter()
            .flat_map(|section| documented[section].iter().cloned())
            .collect();
        let stale: Vec<_> = own.difference(&read).collect();
        assert!(stale.is_empty(), "{program} does not read {stale:?}");
        let missing: Vec<_> = read.difference(&all).collect();
        assert!(missing.is_empty(), "no word of {missing:?} of {program}");
    }
    let url = BTreeSet::from(["DATABASE_URL".to_owned()]);
    assert_eq!(read_by(MIGRATE)?, url);
    Ok(())
}

// R40
#[test]
fn a_start_reports_what_the_check_reports() -> anyhow::Result<()> {
    for (program, _) in PROGRAMS {
        let set = [("DATABASE_URI", "postgres://a:s3cret@127.0.0.1:1/c")];
        let check = run(program, &["config", "check"], &set)?;
        let start = run(program, &[], &set)?;
        for output in [&check, &start] {
            assert_eq!(output.status.code(), Some(WRONG_CONFIGURATION), "{program}");
        }
        let text = String::from_utf8(check.stderr)?;
        assert_eq!(text, String::from_utf8(start.stderr)?);
        for line in [
            "DATABASE_URL: is missing: set it to postgres://",
            "warning: DATABASE_URI: is not read: did you mean DATABASE_URL?",
        ] {
            let line = format!("{program}: {line}");
            assert!(text.lines().any(|one| one.starts_with(&line)), "{text}");
        }
    }
    Ok(())
}

// R35, R40
#[test]
fn no_report_shows_a_secret() -> anyhow::Result<()> {
    /// Parts of the names of variables that may hold secrets.
    const SECRET: [&str; 6] = ["URL", "KEY", "SECRET", "CERT", "JWKS", "TOKEN"];
    let switches = [
        ("CALLERS_BY", "both"),
        ("AUTH_GOOGLE_ENABLED", "true"),
        ("AUTH_OIDC_NAME_ISSUER", "https://id.example.com"),
        ("AUTH_OIDC_NAME_TOKEN_AUTH_METHOD", "private_key_jwt"),
    ];
    for (program, _) in PROGRAMS {
        let names = read_by(program)?;
        let is_secret =
            |name: &&str| name.ends_with("_CA") || SECRET.iter().any(|part| name.contains(part));
        for (suffix, value) in [("", "s3cret"), ("", "k1:s3cret@"), ("_FILE", "s3cret")] {
            let names: Vec<String> = names
                .iter()
                .map(String::as_str)
                .filter(is_secret)
                .filter(|name| switches.iter().all(|(switch, _)| name != switch))
                .map(|name| format!("{name}{suffix}"))
                .collect();
            let mut set: Vec<_> = names.iter().map(|name| (name.as_str(), value)).collect();
            set.extend(switches);
            let output = run(program, &["config", "check"], &set)?;
            assert_eq!(output.status.code(), Some(WRONG_CONFIGURATION), "{program}");
            let text = String::from_utf8(output.stderr)?;
            assert!(text.contains("DATABASE_URL"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
    Ok(())
}
