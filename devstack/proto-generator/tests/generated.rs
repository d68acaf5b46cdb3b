//! The generated code in the repository is that of the `.proto` files beside it.

use std::collections::BTreeMap;
use std::fs;

use latchkey_proto_generator::{directory, generate};

#[test]
fn the_generated_code_is_that_of_the_proto_files() {
    let found: BTreeMap<String, Vec<u8>> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    let expected = generate().unwrap();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, content) in &expected {
        assert!(
            found.get(name) == Some(content),
            "proto/src/generated/{name} is not up to date: run `cargo dev proto`"
        );
    }
}
