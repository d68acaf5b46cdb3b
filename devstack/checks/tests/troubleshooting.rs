//! `docs/troubleshooting.md` quotes what the programs say.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use latchkey_checks::{Tracked, root, tracked};

/// Where the quoted texts are: the sources of what is deployed, and of the client.
const SOURCES: [&str; 5] = [
    "auth-svc/src/",
    "sync-svc/src/",
    "refresh-svc/src/",
    "crates/",
    "proto/src/generated/",
];

/// Texts of libraries, which the sources of the repository do not have.
const OF_LIBRARIES: [&str; 1] = ["invalid peer certificate"];

/// A quotation in the column `log` of a table.
struct Quotation {
    line: usize,
    text: String,
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap()
}

/// The code spans in the second column of each table whose heading says `log`.
fn quotations(document: &str) -> Vec<Quotation> {
    let mut quotations = Vec::new();
    let mut is_log = false;
    for (number, row) in document.lines().enumerate() {
        let Some(row) = row.strip_prefix("| ") else {
            is_log = false;
            continue;
        };
        let cell = row.split(" | ").nth(1).unwrap_or_default();
        if cell == "log" {
            is_log = true;
        } else if is_log {
            let spans = cell.split('`').skip(1).step_by(2);
            quotations.extend(spans.map(|text| Quotation {
                line: number + 1,
                text: text.to_owned(),
            }));
        }
    }
    quotations
}

/// The sources without their unit tests, with each string on one line.
fn sources() -> Vec<String> {
    let is_source = |file: &Tracked| {
        SOURCES.iter().any(|start| file.path.starts_with(start)) && !file.path.contains("/tests")
    };
    let files = tracked(&["rs"]).unwrap();
    files
        .iter()
        .filter(|file| is_source(file))
        .map(|file| {
            let code = file
                .text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            on_one_line(code)
        })
        .collect()
}

/// Joins strings that `\` continues on the next line.
fn on_one_line(code: &str) -> String {
    let mut parts = code.split("\\\n");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        joined.push_str(part.trim_start());
    }
    joined
}

/// Whether one source has the text. Its parts between `…` must be in this order.
fn has(source: &str, text: &str) -> bool {
    let mut rest = source;
    text.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn is_said(sources: &[String], text: &str) -> bool {
    if OF_LIBRARIES.contains(&text) {
        return true;
    }
    // A field with its value, such as error.code=domain_not_allowed.
    if let Some((name, value)) = text.split_once('=')
        && !text.contains(' ')
    {
        let value = format!("\"{value}\"");
        let has_name = sources.iter().any(|source| source.contains(name));
        return has_name && sources.iter().any(|source| source.contains(&value));
    }
    let text = text.trim_matches('…').trim();
    sources.iter().any(|source| has(source, text))
}

#[test]
fn every_quoted_line_is_one_that_a_program_says() {
    let (document, sources) = (document(), sources());
    let quotations = quotations(&document);
    assert!(quotations.len() > 90, "{} quotations", quotations.len());
    let unknown: Vec<String> = quotations
        .iter()
        .filter(|quotation| !is_said(&sources, &quotation.text))
        .map(|quotation| {
            format!(
                "docs/troubleshooting.md:{}: no program says `{}`",
                quotation.line, quotation.text
            )
        })
        .collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn a_line_that_no_program_says_is_noticed() {
    let sources = [on_one_line(
        "info!(error.code = \"known\", \"a known \\\n     line: {x}, and more\")",
    )];
    for said in [
        "a known line: …",
        "a known line: …, and more",
        "error.code=known",
    ] {
        assert!(is_said(&sources, said), "{said}");
    }
    for unknown in [
        "a known line of old",
        "and more … a known",
        "error.code=line",
        "other=known",
    ] {
        assert!(!is_said(&sources, unknown), "{unknown}");
    }
}

#[test]
fn every_variable_of_a_provider_is_one_of_the_configuration() {
    let configuration = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let document = document();
    let spans = document.split('`').skip(1).step_by(2);
    let names: Vec<&str> = spans.filter(|span| span.starts_with("AUTH_")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let name = name.split('=').next().unwrap();
        let listed = configuration.contains(&format!("`{name}`"));
        assert!(listed || name.contains('…'), "{name}");
    }
}
