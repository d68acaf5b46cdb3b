//! Puts the git commit and the time of the build into the binary (R15).

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[expect(clippy::disallowed_methods, reason = "a build has no other clock")]
fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn main() {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    // Images are built without .git: the pipeline sets the commit.
    let commit = variable("LATCHKEY_GIT_COMMIT")
        .or_else(|| git(&["rev-parse", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    // https://reproducible-builds.org/specs/source-date-epoch/, and else the time of the commit: two
    // builds of one commit are the same program.
    let built_at = variable("SOURCE_DATE_EPOCH")
        .or_else(|| git(&["log", "-1", "--format=%ct"]))
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(now);
    println!("cargo:rustc-env=LATCHKEY_GIT_COMMIT={commit}");
    println!("cargo:rustc-env=LATCHKEY_BUILD_UNIX_TIME={built_at}");
    println!("cargo:rerun-if-env-changed=LATCHKEY_GIT_COMMIT");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    // A commit from the environment does not depend on the repository.
    if variable("LATCHKEY_GIT_COMMIT").is_some() {
        return;
    }
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}
