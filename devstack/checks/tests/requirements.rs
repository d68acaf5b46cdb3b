//! `docs/requirements.md` and the comments of the tree name each other's rows and nothing else.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};

use latchkey_checks::{root, tracked};

/// Files that tell of the rows and prove none.
const ABOUT_THE_ROWS: [&str; 2] = [
    "docs/requirements.md",
    "devstack/checks/tests/requirements.rs",
];

/// What the ids of the document's rows begin with.
const PREFIXES: [&str; 4] = ["R", "RF", "RP", "WP"];

#[test]
fn every_requirement_is_named_by_a_test_or_says_why_not() {
    let rows = rows();
    let proven = named_in_code();
    let without_test = rows_without_test();
    let missing: Vec<_> = rows
        .iter()
        .filter(|row| !proven.contains_key(*row) && !without_test.contains(*row))
        .collect();
    assert!(
        missing.is_empty(),
        "no test names {missing:?}, and docs/requirements.md does not say why"
    );
    let both: Vec<_> = without_test
        .iter()
        .filter(|row| proven.contains_key(*row))
        .collect();
    assert!(
        both.is_empty(),
        "docs/requirements.md lists {both:?} as rows without a test, but a test names them"
    );
}

#[test]
fn no_comment_names_a_requirement_that_does_not_exist() {
    let rows = rows();
    let unknown: Vec<String> = named_in_code()
        .into_iter()
        .filter(|(row, _)| !rows.contains(row))
        .map(|(row, file)| format!("{row} in {file}"))
        .collect();
    assert!(
        unknown.is_empty(),
        "not in docs/requirements.md: {unknown:?}"
    );
}

#[test]
fn no_comment_names_a_document_that_does_not_exist() {
    let mut missing = Vec::new();
    for file in tracked(&["rs", "sql", "toml", "proto"]).unwrap() {
        let words = file
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && !"_-./".contains(c));
        for word in words {
            let document = word.trim_end_matches('.');
            if document.starts_with("docs/") && !root().join(document).exists() {
                missing.push(format!("{document} in {}", file.path));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// The ids of all rows.
fn rows() -> BTreeSet<String> {
    ids_at_line_starts(document().split("## Rows without a test").next().unwrap())
}

/// The ids that the last section of the document gives a reason for.
fn rows_without_test() -> BTreeSet<String> {
    let document = document();
    let (_, section) = document.split_once("## Rows without a test").unwrap();
    ids_at_line_starts(section)
}

fn ids_at_line_starts(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .flat_map(|(id, _)| ids(id))
        .collect()
}

/// The words of a text that are ids of requirements.
fn ids(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| {
            let number = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
            PREFIXES.contains(&&word[..word.len() - number.len()])
                && !number.is_empty()
                && number.bytes().all(|digit| digit.is_ascii_digit())
        })
        .map(str::to_owned)
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/requirements.md")).unwrap()
}

/// Every id that a comment of code or a test names, with one file that names it.
fn named_in_code() -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for file in tracked(&["rs", "mjs", "js"]).unwrap() {
        if ABOUT_THE_ROWS.contains(&file.path.as_str()) {
            continue;
        }
        for (_, comment) in file.text.lines().filter_map(|line| line.split_once("//")) {
            for id in ids(comment) {
                named.insert(id, file.path.clone());
            }
        }
    }
    named
}
