//! The launcher with a cargo and a devstack that only record how they were called.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A target directory with the launcher, `cargo` and `devstack` in it.
fn target(cargo: &str, devstack: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("launcher");
    let _ = fs::remove_dir_all(&target);
    let profile = target.join("debug");
    fs::create_dir_all(&profile).unwrap();
    let launcher = env!("CARGO_BIN_EXE_latchkey-launcher");
    fs::copy(launcher, profile.join("latchkey-launcher")).unwrap();
    script(&target.join("cargo"), cargo);
    script(&profile.join("devstack"), devstack);
    target
}

fn launch(target: &Path, arguments: &[&str]) -> Output {
    Command::new(target.join("debug/latchkey-launcher"))
        .args(arguments)
        .env("CARGO", target.join("cargo"))
        .output()
        .unwrap()
}

// One test: a program that is written while another thread starts one is busy.
#[test]
fn a_build_comes_first_and_exit_codes_pass_through() {
    let target_that_builds = target("echo \"cargo $*\"; pwd", "echo \"devstack $*\"; exit 7");
    let output = launch(&target_that_builds, &["status", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    assert_eq!(
        lines,
        [
            "cargo build --workspace --bin devstack --test launcher",
            root.unwrap().to_str().unwrap(),
            "devstack status --json",
        ]
    );
    assert_eq!(output.status.code(), Some(7));

    let target_that_fails = target("exit 101", "echo started");
    let output = launch(&target_that_fails, &["up"]);
    assert_eq!(output.status.code(), Some(101));
    assert!(output.stdout.is_empty(), "devstack was started");
}
