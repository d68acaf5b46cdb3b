//! The programs of the cluster: built from Go modules once, kept in the user's cache, and found
//! again by a hash of everything that they are made from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::{Child, ChildSpec, Progress};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::digest::sha256;
use crate::hidden::ensure_visible;
use crate::output::output_of;

/// The modules, each with a `go.mod` that names the programs (`tool`).
const MODULES: [&str; 5] = [
    "etcd",
    "network-policy",
    "containerd",
    "coredns",
    "kubernetes",
];
/// Flags of the linker. Kubernetes refuses to run without its version.
const LINKER_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=37";
/// The first minor version of Go 1 that builds the modules.
const GO: u32 = 26;
/// Interval of the lines that a long build prints.
const REPORT_INTERVAL: Duration = Duration::from_secs(20);

/// The directories of the built programs, by module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds what is not built yet.
    ///
    /// # Errors
    /// Go is missing or too old, a module does not build, or a cluster would not see Go's modules or
    /// the programs.
    pub async fn build(progress: &Progress) -> anyhow::Result<Self> {
        let go = go_version().await?;
        let cache = cache()?;
        ensure_visible(&cache, "set XDG_CACHE_HOME to a directory elsewhere")?;
        let modules = run_go(&["env", "GOMODCACHE"]).await?;
        ensure_visible(
            Path::new(&modules),
            "set GOMODCACHE to a directory elsewhere",
        )?;
        let mut directories = BTreeMap::new();
        for module in MODULES {
            let directory = build(module, &go, &cache, progress).await?;
            directories.insert(module.to_owned(), directory);
        }
        Ok(Self(directories))
    }

    /// Returns the directory of a module's programs.
    ///
    /// # Errors
    /// There is no such module.
    pub fn directory(&self, module: &str) -> anyhow::Result<&Path> {
        let directory = self.0.get(module).map(PathBuf::as_path);
        directory.with_context(|| format!("there is no module {module}"))
    }

    /// Returns a value of `PATH` with the programs before those of the system.
    ///
    /// # Errors
    /// A directory has a colon in its name.
    pub fn path(&self) -> anyhow::Result<std::ffi::OsString> {
        let system = std::env::var_os("PATH").unwrap_or_default();
        let system = std::env::split_paths(&system);
        let all = self.0.values().cloned().chain(system);
        Ok(std::env::join_paths(all.chain(["/usr/sbin".into()]))?)
    }
}

/// Returns the directory with the `go.mod` of a module.
pub fn source(module: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("go")
        .join(module)
}

fn cache() -> anyhow::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("latchkey-kubernetes");
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    Ok(cache)
}

/// Returns what `go version` prints.
async fn go_version() -> anyhow::Result<String> {
    let install = format!("Go 1.{GO} or newer is not installed: see https://go.dev/doc/install");
    let text = run_go(&["version"]).await.ok();
    let text = text.with_context(|| install.clone())?;
    let minor: Option<u32> = text.split_once("go1.").and_then(|(_, rest)| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits?.parse().ok()
    });
    anyhow::ensure!(minor.is_some_and(|minor| minor >= GO), "{install} ({text})");
    Ok(text)
}

/// Runs a command of Go and returns its output without the end of the line.
async fn run_go(arguments: &[&str]) -> anyhow::Result<String> {
    let output = output_of(Command::new("go").args(arguments)).await?;
    Ok(output.trim().to_owned())
}

/// Returns the directory of a module's programs, which are built if it does not exist.
async fn build(
    module: &str,
    go: &str,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<PathBuf> {
    let source = source(module);
    let directory = cache.join(format!("{module}-{}", hash(&source, go)?));
    if directory.is_dir() {
        return Ok(directory);
    }
    // If two runs build at once, the second one waits and then finds the programs.
    let lock = File::create(cache.join(format!("{module}.lock")))?;
    if lock.try_lock().is_err() {
        progress(&format!("waiting for another run, which builds {module}"));
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if directory.is_dir() {
            return Ok(directory);
        }
    }
    progress(&format!("building {module} with Go (takes minutes, once)"));
    let unfinished = cache.join(format!("{module}-unfinished"));
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished)?;
    let log = cache.join(format!("{module}.log"));
    let _ = fs::remove_file(&log);
    let mut output = unfinished.clone().into_os_string();
    output.push("/");
    let spec = ChildSpec::new("go", "go", &source, &log)
        .env("CGO_ENABLED", "0")
        .arg("build")
        .arg("-mod=readonly")
        .arg("-trimpath")
        .arg("-v")
        .arg(format!("-ldflags={LINKER_FLAGS}"))
        .arg("-o")
        .arg(output)
        .arg("tool");
    watch(Child::start(spec)?, module, &log, progress).await?;
    // Go names the program of etcd after the last part of its package.
    let _ = fs::rename(unfinished.join("server"), unfinished.join("etcd"));
    fs::rename(&unfinished, &directory)?;
    Ok(directory)
}

/// Waits for the end of a build and prints how far it is.
async fn watch(
    mut build: Child,
    module: &str,
    log: &Path,
    progress: &Progress,
) -> anyhow::Result<()> {
    let text = || fs::read_to_string(log).unwrap_or_default();
    loop {
        let Ok(status) = tokio::time::timeout(REPORT_INTERVAL, build.wait()).await else {
            // `-v` prints a line for each package.
            progress(&format!(
                "{module}: {} packages so far",
                text().lines().count()
            ));
            continue;
        };
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let text = text();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines
            .get(lines.len().saturating_sub(10)..)
            .unwrap_or_default();
        anyhow::bail!("Go cannot build {module}:\n{}", end.join("\n"));
    }
}

/// Returns a name for what is built from the files of a module with this version of Go.
fn hash(source: &Path, go: &str) -> anyhow::Result<String> {
    let mut inputs = vec![go.to_owned(), LINKER_FLAGS.to_owned()];
    for name in ["go.mod", "go.sum"] {
        let file = source.join(name);
        inputs.push(fs::read_to_string(&file).with_context(|| file.display().to_string())?);
    }
    let mut hash = sha256(inputs.join("\0").as_bytes());
    hash.truncate(16);
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_another_module_file_or_go_have_another_directory() {
        let source = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(source.path().join(name), text).unwrap();
        write("go.mod", "module a");
        write("go.sum", "");
        let first = hash(source.path(), "go1.26.8").unwrap();
        assert_eq!(first, hash(source.path(), "go1.26.8").unwrap());
        assert_ne!(first, hash(source.path(), "go1.26.9").unwrap());
        write("go.sum", "a v1.0.0 h1:x");
        assert_ne!(first, hash(source.path(), "go1.26.8").unwrap());
    }

    #[test]
    fn every_module_names_its_programs() {
        for module in MODULES {
            let text = fs::read_to_string(source(module).join("go.mod")).unwrap();
            assert!(text.contains("\ntool "), "{module} names no program");
        }
    }
}
