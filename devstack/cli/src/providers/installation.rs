//! Gets the servers from the registries that Maven and Go are set up with here, and
//! finds them again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use latchkey_servers::{Progress, target_directory};
use serde_json::Value;

/// Newest first: the second where the registry does not have the first.
const KEYCLOAK_VERSIONS: [&str; 2] = ["26.7.3", "26.5.6"];
const HYDRA_MODULE: &str = "github.com/ory/hydra/v2";
const HYDRA_VERSION: &str = "v2.3.0";
/// The Java that Keycloak asks for.
const JAVA: u32 = 17;
/// The first Go that knows tools of a module: Go 1.24.
const GO: u32 = 24;

/// A server that is there.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    /// Where it lies.
    pub place: PathBuf,
    /// Its version.
    pub version: &'static str,
}

/// Keycloak's distribution, unpacked.
pub(super) fn keycloak(progress: &Progress) -> anyhow::Result<Installation> {
    require_program("java", INSTALL_JAVA)?;
    let java = java_version()?;
    anyhow::ensure!(
        java >= JAVA,
        "Keycloak needs Java {JAVA}, here is {java}: {INSTALL_JAVA}"
    );
    let parent = parent()?;
    let _lock = lock(&parent)?;
    let unpacked = |version| Installation {
        place: parent.join(format!("keycloak-{version}")),
        version,
    };
    let there = |installation: &Installation| installation.place.join("complete").is_file();
    let mut known = KEYCLOAK_VERSIONS.into_iter().map(unpacked);
    if let Some(installation) = known.find(there) {
        return Ok(installation);
    }
    require_program("mvn", "run `apt-get install -y maven` as root")?;
    let mut refusal = String::new();
    for installation in KEYCLOAK_VERSIONS.into_iter().map(unpacked) {
        progress(&format!(
            "fetching Keycloak {} with Maven: some 200 MB",
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
                let _ = fs::remove_dir_all(&installation.place);
                // Without a project Maven takes this name as it stands.
                let _ = fs::remove_dir_all(parent.join("${project.basedir}"));
                let inside = unpacking.join(format!("keycloak-{}", installation.version));
                fs::rename(inside, &installation.place)?;
                File::create(installation.place.join("complete"))?;
                return Ok(installation);
            }
            Err(error) => refusal = one_line(&error),
        }
    }
    anyhow::bail!(
        "Maven has no Keycloak {}: {refusal}",
        KEYCLOAK_VERSIONS.join(" nor ")
    )
}

/// Hydra's program, built with SQLite.
pub(super) fn hydra(progress: &Progress) -> anyhow::Result<Installation> {
    let parent = parent()?;
    let _lock = lock(&parent)?;
    let place = parent.join(format!("hydra-{HYDRA_VERSION}"));
    let installation = Installation {
        place: place.clone(),
        version: HYDRA_VERSION,
    };
    if place.join("complete").is_file() {
        return Ok(installation);
    }
    require_program("go", INSTALL_GO)?;
    let go = go_version()?;
    anyhow::ensure!(
        go >= GO,
        "Hydra needs Go 1.{GO}, here is 1.{go}: {INSTALL_GO}"
    );
    // Its SQLite is C.
    require_program("cc", "run `apt-get install -y gcc libc6-dev` as root")?;
    progress(&format!(
        "fetching and building Hydra {HYDRA_VERSION} with Go: minutes, once"
    ));
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    build_hydra(&place).map_err(|error| {
        anyhow::anyhow!("Go has no Hydra {HYDRA_VERSION}: {}", one_line(&error))
    })?;
    File::create(place.join("complete"))?;
    Ok(installation)
}

/// As a tool of a module of its own: `go install` refuses a module that replaces
/// others.
fn build_hydra(place: &Path) -> anyhow::Result<()> {
    let go = |arguments: &[&str]| run(Command::new("go").args(arguments).current_dir(place));
    let module = format!("{HYDRA_MODULE}@{HYDRA_VERSION}");
    go(&["mod", "init", "latchkey.example/providers"])?;
    // It does not build with the modules that it replaces.
    let downloaded = go(&["mod", "download", "-json", &module])?;
    let file = text_of(&downloaded, "/GoMod").context("Go tells no go.mod")?;
    let described: Value = serde_json::from_slice(&go(&["mod", "edit", "-json", &file])?)?;
    let replaced = described.get("Replace").and_then(Value::as_array);
    for replacement in replaced.into_iter().flatten().filter_map(replacement_of) {
        go(&["mod", "edit", &format!("-replace={replacement}")])?;
    }
    go(&["get", "-tool", &module])?;
    go(&["build", "-tags", "sqlite", "-o", "hydra", HYDRA_MODULE])?;
    Ok(())
}

/// `old=new@version`; none where the new one is a folder of the module's own
/// repository, which is published as a module as well.
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

/// Two runs at once: the second waits and then finds everything there.
fn lock(parent: &Path) -> anyhow::Result<File> {
    let gate = File::create(parent.join("gate"))?;
    gate.lock()?;
    Ok(gate)
}

const INSTALL_JAVA: &str = "run `apt-get install -y openjdk-17-jre-headless` as root";
const INSTALL_GO: &str = "install Go 1.24 or newer";

fn require_program(program: &str, remedy: &str) -> anyhow::Result<()> {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()));
    anyhow::ensure!(there, "{program} is not installed: {remedy}");
    Ok(())
}

/// The number of `version "17.0.1"`.
fn java_version() -> anyhow::Result<u32> {
    let output = Command::new("java").arg("-version").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.split('"')
        .nth(1)
        .and_then(|version| version.split(['.', '-']).next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("java tells no version: {}", text.trim()))
}

/// The second number of `go version go1.24.1 linux/amd64`.
fn go_version() -> anyhow::Result<u32> {
    let said = run(Command::new("go").arg("version"))?;
    let text = String::from_utf8_lossy(&said);
    text.split_once("go1.")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("go tells no version: {}", text.trim()))
}

/// Runs a program to its end; answers its standard output.
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
    fn a_module_that_is_replaced_by_another_stays_so_and_a_folder_does_not() {
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
