//! The generated code in the repository is that of the `.proto` files beside it.

use std::collections::BTreeMap;
use std::fs;

use latchkey_proto_generator::{directory, files_in, generate, replace};

#[test]
fn the_generated_code_is_that_of_the_proto_files() {
    let found = files_in(&directory()).unwrap();
    let expected = generate().unwrap();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "run `cargo dev proto`");
    for (name, content) in &expected {
        assert!(
            found.get(name) == Some(content),
            "proto/src/generated/{name} is not up to date: run `cargo dev proto`"
        );
    }
}

#[test]
fn a_file_that_is_no_longer_generated_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("current", "1"), ("changed", "1"), ("stale", "1")] {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let files = [("current", "1"), ("changed", "2"), ("new", "1")]
        .map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()))
        .into();
    let changes = replace(directory.path(), &files).unwrap();
    assert_eq!(
        changes,
        ["written: changed", "written: new", "removed: stale"]
    );
    assert_eq!(files_in(directory.path()).unwrap(), files);
}
