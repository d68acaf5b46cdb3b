//! Installs the servers from the registries that Maven and Go use on this machine, and finds
//! earlier installations.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use latchkey_servers::{Progress, target_directory};
use serde_json::Value;

/// The first version that the registry has is used.
const KEYCLOAK_VERSIONS: [&str; 2] = ["26.7.3", "26.5.6"];
const HYDRA_MODULE: &str = "github.com/ory/hydra/v2";
const HYDRA_VERSION: &str = "v2.3.0";
/// The Java version that Keycloak requires.
const JAVA: u32 = 17;
/// The minor version of the first Go with tools in modules, 1.24.
const GO: u32 = 24;

/// An installed server.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    /// Directory of the installation.
    pub directory: PathBuf,
    /// Version of the server.
    pub version: &'static str,
}

/// Installs Keycloak's distribution.
pub(super) fn keycloak(progress: &Progress) -> anyhow::Result<Installation> {
    require_program("java", INSTALL_JAVA)?;
    let java = java_version()?;
    anyhow::ensure!(
        java >= JAVA,
        "Keycloak requires Java {JAVA}, and the installed version is {java}: {INSTALL_JAVA}"
    );
    let parent = parent()?;
    let _lock = lock(&parent)?;
    let unpacked = |version| Installation {
        directory: parent.join(format!("keycloak-{version}")),
        version,
    };
    let is_complete =
        |installation: &Installation| installation.directory.join("complete").is_file();
    let mut known = KEYCLOAK_VERSIONS.into_iter().map(unpacked);
    if let Some(installation) = known.find(is_complete) {
        return Ok(installation);
    }
    require_program("mvn", "run `apt-get install -y maven` as root")?;
    let mut refusal = String::new();
    for installation in KEYCLOAK_VERSIONS.into_iter().map(unpacked) {
        progress(&format!(
            "downloading Keycloak {} with Maven (about 200 MB)",
            installation.version
        ));
        let unpacking = parent.join("unpacking");
        let _ = fs::remove_dir_all(&unpacking);
        let artifact = format!(
            "org.keycloak:keycloak-quarkus-dist:{}:zip",
            installation.version
        );
        let outcome = run(Command::new("mvn")
            .args(["--batch-mode", "--quiet"])
            .arg("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack")
            .arg(format!("-Dartifact={artifact}"))
            .arg(format!("-DoutputDirectory={}", unpacking.display()))
            .current_dir(&parent));
        match outcome {
            Ok(_) => {
                let _ = fs::remove_dir_all(&installation.directory);
                // Without a project, Maven creates a directory with this literal name.
                let _ = fs::remove_dir_all(parent.join("${project.basedir}"));
                let inside = unpacking.join(format!("keycloak-{}", installation.version));
                fs::rename(inside, &installation.directory)?;
                File::create(installation.directory.join("complete"))?;
                return Ok(installation);
            }
            Err(error) => refusal = one_line(&error),
        }
    }
    anyhow::bail!(
        "cannot install Keycloak {} with Maven: {refusal}",
        KEYCLOAK_VERSIONS.join(" or ")
    )
}

/// Builds Hydra with SQLite and installs it.
pub(super) fn hydra(progress: &Progress) -> anyhow::Result<Installation> {
    let parent = parent()?;
    let _lock = lock(&parent)?;
    let directory = parent.join(format!("hydra-{HYDRA_VERSION}"));
    let installation = Installation {
        directory: directory.clone(),
        version: HYDRA_VERSION,
    };
    if directory.join("complete").is_file() {
        return Ok(installation);
    }
    require_program("go", INSTALL_GO)?;
    let go = go_version()?;
    anyhow::ensure!(
        go >= GO,
        "Hydra requires Go 1.{GO}, and the installed version is 1.{go}: {INSTALL_GO}"
    );
    // The SQLite library is written in C.
    require_program("cc", "run `apt-get install -y gcc libc6-dev` as root")?;
    progress(&format!(
        "downloading and building Hydra {HYDRA_VERSION} with Go (takes minutes, once)"
    ));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    build_hydra(&directory).map_err(|error| {
        anyhow::anyhow!(
            "cannot build Hydra {HYDRA_VERSION} with Go: {}",
            one_line(&error)
        )
    })?;
    File::create(directory.join("complete"))?;
    Ok(installation)
}

/// Builds Hydra as a tool of a new module, because `go install` refuses a module that replaces
/// others.
fn build_hydra(directory: &Path) -> anyhow::Result<()> {
    let go = |arguments: &[&str]| run(Command::new("go").args(arguments).current_dir(directory));
    let module = format!("{HYDRA_MODULE}@{HYDRA_VERSION}");
    go(&["mod", "init", "latchkey.example/providers"])?;
    // Hydra does not compile with the modules that it replaces.
    let downloaded = go(&["mod", "download", "-json", &module])?;
    let file =
        text_of(&downloaded, "/GoMod").context("go mod download printed no path of go.mod")?;
    let described: Value = serde_json::from_slice(&go(&["mod", "edit", "-json", &file])?)?;
    let replaced = described.get("Replace").and_then(Value::as_array);
    for replacement in replaced.into_iter().flatten().filter_map(replacement_of) {
        go(&["mod", "edit", &format!("-replace={replacement}")])?;
    }
    go(&["get", "-tool", &module])?;
    go(&["build", "-tags", "sqlite", "-o", "hydra", HYDRA_MODULE])?;
    Ok(())
}

/// Returns `old=new@version`, or `None` if the new module is a directory of the module's own
/// repository. Such a directory is also published as a module.
fn replacement_of(entry: &Value) -> Option<String> {
    let text = |path| entry.pointer(path).and_then(Value::as_str);
    let (old, new) = (text("/Old/Path")?, text("/New/Path")?);
    let version = text("/New/Version")?;
    Some(format!("{old}={new}@{version}"))
}

fn text_of(json: &[u8], path: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(json).ok()?;
    value.pointer(path)?.as_str().map(str::to_owned)
}

fn parent() -> anyhow::Result<PathBuf> {
    let parent = target_directory().join("provider-servers");
    fs::create_dir_all(&parent)?;
    Ok(parent.canonicalize()?)
}

/// If two runs install at once, the second one waits and then finds the installation.
fn lock(parent: &Path) -> anyhow::Result<File> {
    let lock = File::create(parent.join("gate"))?;
    lock.lock()?;
    Ok(lock)
}

const INSTALL_JAVA: &str = "run `apt-get install -y openjdk-17-jre-headless` as root";
const INSTALL_GO: &str = "install Go 1.24 or newer";

fn require_program(program: &str, remedy: &str) -> anyhow::Result<()> {
    let is_installed = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()));
    anyhow::ensure!(is_installed, "{program} is not installed: {remedy}");
    Ok(())
}

/// Returns 17 if `java -version` prints `version "17.0.1"`.
fn java_version() -> anyhow::Result<u32> {
    let output = Command::new("java").arg("-version").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.split('"')
        .nth(1)
        .and_then(|version| version.split(['.', '-']).next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("java printed no version: {}", text.trim()))
}

/// Returns 24 if `go version` prints `go version go1.24.1 linux/amd64`.
fn go_version() -> anyhow::Result<u32> {
    let output = run(Command::new("go").arg("version"))?;
    let text = String::from_utf8_lossy(&output);
    text.split_once("go1.")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("go printed no version: {}", text.trim()))
}

/// Runs a program, waits until it ends, and returns its standard output.
fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let program = command.get_program().to_owned();
    let program = Path::new(&program).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let arguments: Vec<_> = command.get_args().filter_map(OsStr::to_str).collect();
    anyhow::ensure!(
        output.status.success(),
        "`{program} {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat())
    );
    Ok(output.stdout)
}

fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_replacements_by_published_modules_are_kept() {
        let other = json!({
            "Old": {"Path": "a.example/pop"},
            "New": {"Path": "b.example/pop", "Version": "v1.2.3"},
        });
        assert_eq!(
            replacement_of(&other).as_deref(),
            Some("a.example/pop=b.example/pop@v1.2.3")
        );
        let folder = json!({
            "Old": {"Path": "a.example/client"},
            "New": {"Path": "./internal/client"},
        });
        assert_eq!(replacement_of(&folder), None);
    }
}
