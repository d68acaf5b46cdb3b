//! Checks that `docs/security.md` names existing tests, and names all attack tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FOLDERS: [(&str, &str); 4] = [
    ("attacks", "auth-svc/tests/attacks"),
    ("api", "auth-svc/tests/api"),
    ("api", "sync-svc/tests/api"),
    ("demo", "crates/providers/tests/demo"),
];

/// Modules whose tests all have to be in the table.
const WHOLE: [&str; 6] = [
    "attacks::",
    "api::conformance::",
    "demo::conformance::",
    "api::verification_link::",
    "api::workspace_domains::",
    "api::workspace_roles::",
];

/// Returns the names of all tests in a folder, such as `attacks::authorization_codes::…`.
fn tests_of(root: &Path, binary: &str, folder: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let name = line
                .strip_prefix("async fn ")
                .or_else(|| line.strip_prefix("fn "))
                .and_then(|rest| rest.split('(').next());
            let listed = line
                .split_once(": M::")
                .filter(|(_, rest)| rest.ends_with(';'))
                .map(|(name, _)| name);
            match (is_test, name, listed) {
                (true, Some(name), _) if !name.starts_with('$') => {
                    tests.insert(format!("{binary}::{module}::{name}"));
                    is_test = false;
                }
                (_, None, Some(name)) => {
                    tests.insert(format!("{binary}::{module}::{name}"));
                }
                _ => is_test |= line.starts_with("#[tokio::test") || line == "#[test]",
            }
        }
    }
    tests
}

#[test]
fn the_table_of_attacks_names_tests_that_exist_and_all_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named: BTreeSet<String> = document
        .split('`')
        .filter(|part| {
            FOLDERS
                .iter()
                .any(|(binary, _)| part.starts_with(&format!("{binary}::")))
                && part.matches("::").count() == 2
        })
        .map(str::to_owned)
        .collect();
    let mut existing = BTreeSet::new();
    for (binary, folder) in FOLDERS {
        existing.extend(tests_of(&root, binary, folder));
    }
    let missing: Vec<&String> = named.difference(&existing).collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
    let unnamed: Vec<&String> = existing
        .iter()
        .filter(|test| WHOLE.iter().any(|module| test.starts_with(module)))
        .filter(|test| !test.starts_with("attacks::documentation::"))
        .filter(|test| !named.contains(*test))
        .collect();
    assert!(unnamed.is_empty(), "there and not named: {unnamed:?}");
}

/// The conformance table lists every module of the OpenID Foundation for clients of the
/// code flow. The test above checks that the named tests exist.
#[test]
fn every_module_of_the_conformance_suite_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let section = document.split("### Conformance").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let modules: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | `"))
        .map(|(module, _)| module)
        .collect();
    assert_eq!(modules.len(), 44, "{modules:?}");
}
