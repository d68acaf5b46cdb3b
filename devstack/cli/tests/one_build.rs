//! A new machine builds everything once, not once for `cargo dev` and once more
//! for the services.

use std::collections::BTreeSet;
use std::process::Command;

/// Every package with its features, as cargo would build it.
fn packages(selection: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(["--edges", "normal,build", "--format", "{p} [{f}]"])
        .args(selection)
        .current_dir(devstack::build::workspace())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect())
}

#[test]
fn cargo_dev_and_the_services_share_one_build() -> anyhow::Result<()> {
    let alone = packages(&["--package", "devstack"])?;
    let together = packages(&["--workspace"])?;
    let twice: Vec<&String> = alone.difference(&together).collect();
    assert!(
        twice.is_empty(),
        "built twice, because devstack asks for fewer features: {twice:#?}"
    );
    Ok(())
}
