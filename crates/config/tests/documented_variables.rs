//! `docs/configuration.md` and the code name the same variables (R40).

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic, and its helpers are no #[test]"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where variables are read.
const SOURCES: [&str; 7] = [
    "auth-svc/src",
    "sync-svc/src",
    "refresh-svc/src",
    "crates/messaging/src",
    "crates/policy/src",
    "crates/providers/src",
    "crates/service/src",
];

/// What reads one, before its name in quotes.
const READS: [&str; 14] = [
    ".optional(",
    ".required(",
    ".secret(",
    ".optional_parsed(",
    ".parsed(",
    ".flag(",
    ".list(",
    ".duration(",
    ".listen(",
    ".name(",
    ".issuer(",
    ".callback(",
    ".scopes(",
    ".domains(",
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Product code, without its unit tests.
fn code_below(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code_below(&path, code);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(path).unwrap();
            code.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

fn code() -> String {
    let mut code = String::new();
    for folder in SOURCES {
        code_below(&root().join(folder), &mut code);
    }
    code
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_uppercase()) && text.bytes().all(letter)
}

/// Names that the code reads: in quotes in a call, or a constant's value.
fn read_by(code: &str) -> BTreeSet<&str> {
    let calls = READS.iter().flat_map(|call| code.split(call).skip(1));
    let constants = code.split("VARIABLE: &str =").skip(1);
    let switches = code.split("switch:").skip(1);
    calls
        .chain(constants)
        .chain(switches)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .filter(|name| is_name(name))
        .collect()
}

/// Names in the first column of the tables of `docs/configuration.md`.
fn described() -> BTreeSet<String> {
    let tables = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    tables
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`').step_by(2))
        .map(|name| name.replace("<P>", "P").replace("<NAME>", "NAME"))
        .filter(|name| is_name(name))
        .collect()
}

/// A provider's variable by what follows its name.
fn of_provider(name: &str) -> Option<&str> {
    [
        "AUTH_P_",
        "AUTH_OIDC_NAME_",
        "AUTH_GOOGLE_",
        "AUTH_MICROSOFT_",
    ]
    .iter()
    .find_map(|prefix| name.strip_prefix(prefix))
}

// R40
#[test]
fn every_variable_that_is_read_is_documented_and_every_documented_one_is_read() {
    let (code, described) = (code(), described());
    let read = read_by(&code);
    assert!(
        read.len() > 50 && described.len() > 50,
        "{read:?} {described:?}"
    );
    let missing: Vec<_> = read
        .iter()
        .filter(|name| {
            !described
                .iter()
                .any(|one| one == *name || of_provider(one) == Some(name))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "read and not in docs/configuration.md: {missing:?}"
    );
    let stale: Vec<_> = described
        .iter()
        .filter(|name| {
            let name = of_provider(name).unwrap_or(name);
            let value = name.strip_suffix("_FILE").unwrap_or(name);
            let is_read = |name| code.contains(&format!("\"{name}\""));
            !is_read(value) && !is_read(name)
        })
        .collect();
    assert!(
        stale.is_empty(),
        "in docs/configuration.md and not read: {stale:?}"
    );
}
