//! The previous release, for the tests of an upgrade: its programs, built from a commit in a worktree
//! of its own, and its manifests. Both are copied into the directory of the run, so that another run
//! may build another commit.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use devstack::build::{cargo_spec, exit_code};
use latchkey_servers::{Child, Progress, target_directory};
use tokio::process::Command;

use crate::deployment::{copy, enter_site};
use crate::image::{RELEASED, pack, release};
use crate::output::output_of;
use crate::session::{Previous, site, workspace};
use crate::test;

/// Directory of the manifests, in that of the commands.
const MANIFESTS: &str = "previous/deploy/kubernetes";
/// The component with the number of the release.
const RELEASE: &str = "base/release/kustomization.yaml";

/// Builds a commit or tag, or else the latest tag before this commit, and packs its images and its
/// manifests into the directory of a run.
pub async fn prepare(commit: Option<&str>, run: &Path, progress: &Progress) -> Previous {
    let commit = match find(commit).await {
        Ok(Some(commit)) => commit,
        Ok(None) => return Previous::Missing,
        Err(error) => return Previous::Failed(format!("{error:#}")),
    };
    match build(&commit, run, progress).await {
        Ok(images) => Previous::Built { images },
        Err(error) => Previous::Failed(format!("{error:#}")),
    }
}

/// Returns the id of the commit, which has 12 digits.
async fn find(commit: Option<&str>) -> anyhow::Result<Option<String>> {
    let latest = ["describe", "--tags", "--abbrev=0", "HEAD^"];
    let name = match commit {
        Some(name) => Some(name.to_owned()),
        None => git(&workspace(), &latest).await.ok(),
    };
    let Some(name) = name else { return Ok(None) };
    let name = format!("{name}^{{commit}}");
    let id = ["rev-parse", "--verify", "--short=12", &name];
    Ok(Some(git(&workspace(), &id).await?))
}

async fn build(commit: &str, run: &Path, progress: &Progress) -> anyhow::Result<Vec<PathBuf>> {
    let directory = target_directory().join("kubernetes/previous");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let directory = directory.canonicalize()?;
    // The system releases the lock at the end of this function.
    let lock = File::create(directory.join("lock"))?;
    if lock.try_lock().is_err() {
        progress("waiting for another run, which builds a previous release");
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    progress(&format!("building the previous release, {commit}"));
    let source = directory.join("source");
    check_out(commit, &source).await?;
    let target = directory.join("target");
    compile(&source, &target).await?;

    let version = release(&source)?;
    // Also a commit with the version of this one has images and a Job of its own.
    let tag = format!("{version}-{commit}");
    let manifests = site(run).join(MANIFESTS);
    copy(&source.join("deploy/kubernetes"), &manifests)?;
    enter_site(&manifests.join("overlays/dev/site.yaml"))?;
    let file = manifests.join(RELEASE);
    fs::write(
        &file,
        rename(&fs::read_to_string(&file)?, &version, commit)?,
    )?;
    test::write_overlay(&manifests.join("overlays"))?;

    let (images, report) = (run.join("images"), progress.clone());
    let packed = tokio::task::spawn_blocking(move || {
        let find = |program: &str| Ok(target.join("release").join(program));
        pack(&RELEASED, &tag, &find, &images, &report)
    });
    packed.await?
}

/// Brings the worktree to a commit.
async fn check_out(commit: &str, source: &Path) -> anyhow::Result<()> {
    let change = ["checkout", "--quiet", "--force", "--detach", commit];
    if source.join(".git").is_file() && git(source, &change).await.is_ok() {
        return Ok(());
    }
    // It does not exist, or `cargo clean` has removed it.
    let _ = fs::remove_dir_all(source);
    git(&workspace(), &["worktree", "prune"]).await?;
    let path = source.to_string_lossy();
    let add = ["worktree", "add", "--quiet", "--detach", &path, commit];
    git(&workspace(), &add).await?;
    Ok(())
}

/// Builds the programs of the images, as the launcher builds those of this commit.
async fn compile(source: &Path, target: &Path) -> anyhow::Result<()> {
    let mut arguments: Vec<OsString> = ["build", "--workspace", "--release", "--locked"]
        .map(OsString::from)
        .to_vec();
    for (_, program) in RELEASED {
        arguments.extend(["--bin", program].map(OsString::from));
    }
    let target = target.to_string_lossy().into_owned();
    let mut spec = cargo_spec(&arguments, &[("CARGO_TARGET_DIR", target)]);
    spec.directory = source.to_owned();
    let code = exit_code(Child::start(spec)?).await?;
    anyhow::ensure!(code == 0, "cargo cannot build the previous release");
    Ok(())
}

/// Names the release in its component after the commit, too.
fn rename(component: &str, version: &str, commit: &str) -> anyhow::Result<String> {
    let job = format!("migrate-{}", version.replace('.', "-"));
    for name in [version, &job] {
        anyhow::ensure!(component.contains(name), "{RELEASE} does not name {name}");
    }
    Ok(component
        .replace(version, &format!("{version}-{commit}"))
        .replace(&job, &format!("{job}-{commit}")))
}

/// Runs git in a directory and returns its output without the end of the line.
async fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    let output = output_of(command.args(arguments).current_dir(directory)).await?;
    Ok(output.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_previous_release_has_images_and_a_job_of_its_own() {
        let file = workspace().join("deploy/kubernetes").join(RELEASE);
        let text = fs::read_to_string(file).unwrap();
        let version = release(&workspace()).unwrap();
        let renamed = rename(&text, &version, "0123456789ab").unwrap();
        let tag = format!("newTag: &release {version}-0123456789ab }}");
        assert!(renamed.contains(&tag), "{renamed}");
        let job = version.replace('.', "-");
        let job = format!("value: migrate-{job}-0123456789ab }}");
        assert!(renamed.contains(&job), "{renamed}");
        assert!(rename("", &version, "0123456789ab").is_err());
    }

    #[tokio::test]
    async fn an_unknown_commit_is_an_error() {
        assert!(find(Some("no-such-tag")).await.is_err());
    }
}
