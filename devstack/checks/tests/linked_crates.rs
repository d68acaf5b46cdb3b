//! Which crates a program is linked with.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::process::Command;

use latchkey_checks::root;

/// The packages of the programs that are deployed.
const PROGRAMS: [&str; 5] = [
    "auth-svc",
    "sync-svc",
    "refresh-svc",
    "latchkey",
    "latchkey-migrations",
];

/// The crates that a package is linked with, as it is built alone.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", package])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

// R35
#[test]
fn only_refresh_svc_is_linked_with_the_crate_that_opens_grants() {
    for program in PROGRAMS {
        let opens = linked(program).contains("latchkey-opening");
        assert_eq!(opens, program == "refresh-svc", "{program}");
    }
}

#[test]
fn the_commands_for_operators_have_no_http_server_and_no_service() {
    let crates = linked("latchkey");
    for name in ["actix-web", "auth-svc", "sync-svc", "refresh-svc"] {
        assert!(!crates.contains(name), "{name}");
    }
}
