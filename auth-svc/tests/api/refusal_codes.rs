//! The table of refusal codes in docs/errors.md.

use std::collections::BTreeSet;
use std::path::Path;

/// What stands before a code in the source, without white space after a parenthesis.
const BEFORE_A_CODE: [&str; 6] = [
    "code: ",
    " refused(",
    " bad_request(",
    " unavailable(",
    "internal_error(",
    "json(status, ",
];

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let words: Vec<&str> = code.split_whitespace().collect();
            texts.push(words.join(" ").replace("( ", "("));
        }
    }
}

fn is_code(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// `… StatusCode::FORBIDDEN, ` and, in the table of statuses, `StatusCode::FORBIDDEN => (`.
fn ends_with_a_status(before: &str) -> bool {
    let status = [", ", " => ("]
        .iter()
        .find_map(|end| before.strip_suffix(end))
        .and_then(|before| before.rsplit_once("StatusCode::"));
    status.is_some_and(|(_, name)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}

/// The codes in one source text.
fn codes_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let parts: Vec<&str> = text.split('"').collect();
    let mut before = String::new();
    for part in parts {
        let introduces = BEFORE_A_CODE.iter().any(|words| before.ends_with(words))
            || ends_with_a_status(&before)
            // The last two rows of the table of statuses.
            || before.ends_with("status.is_server_error() => (")
            || before.ends_with(" _ => (");
        if introduces && is_code(part) {
            found.insert(part.to_owned());
        }
        before.clear();
        before.push_str(part);
    }
    found
}

fn codes() -> BTreeSet<String> {
    let mut texts = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut texts,
    );
    texts.iter().flat_map(|text| codes_in(text)).collect()
}

#[test]
fn the_documentation_has_every_refusal_code_and_no_other() {
    let documentation = include_str!("../../../docs/errors.md");
    let (_, table) = documentation
        .split_once("## Refusal codes of auth-svc")
        .unwrap();
    let documented: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes = codes();
    assert!(codes.len() > 50, "{codes:?}");
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    assert_eq!(documented, codes);
}

#[test]
fn a_code_is_found_wherever_the_source_has_one() {
    for (source, code) in [
        ("ProblemDetails { code: \"a_b\", title: \"c\" }", "a_b"),
        ("=> refused(\"a_b\", \"title\")", "a_b"),
        ("(StatusCode::FORBIDDEN, \"a_b\")", "a_b"),
        ("StatusCode::REQUEST_TIMEOUT => (\"a_b\", \"title\")", "a_b"),
        ("problem::json(status, \"a_b\", \"text\")", "a_b"),
    ] {
        assert_eq!(
            codes_in(source),
            BTreeSet::from([code.to_owned()]),
            "{source}"
        );
    }
    assert!(codes_in("query.get(\"state\")").is_empty());
}
