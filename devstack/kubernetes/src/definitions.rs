//! Definitions of custom resources that components of the overlays use, from the Go modules of
//! their projects.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Deserializer, Value};
use tokio::process::Command;

use crate::programs::source;

/// Go module, and the directory of its definitions. `go/definitions/go.mod` has the versions.
const MODULES: [(&str, &str); 5] = [
    ("github.com/cert-manager/cert-manager", "deploy/crds"),
    (
        "github.com/external-secrets/external-secrets",
        "config/crds/bases",
    ),
    ("github.com/kedacore/keda/v2", "config/crd/bases"),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
    ),
    ("sigs.k8s.io/gateway-api", "config/crd/standard"),
];

/// Downloads the modules, if they are not in Go's cache, and returns the files of all definitions.
///
/// # Errors
/// A module cannot be downloaded, or has no definitions.
pub async fn download() -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("go")
        .args(["mod", "download", "-json"])
        .current_dir(source("definitions"))
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run go")?;
    anyhow::ensure!(
        output.status.success(),
        "cannot download the definitions of custom resources: {}",
        String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat())
    );
    let modules: Vec<Value> = Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()?;
    let mut files = Vec::new();
    for (name, directory) in MODULES {
        let module = modules.iter().find(|module| text(module, "Path") == name);
        let root = module.map_or("", |module| text(module, "Dir"));
        let found = definitions(&Path::new(root).join(directory));
        anyhow::ensure!(!found.is_empty(), "{name} has no definitions in {directory}");
        files.extend(found);
    }
    Ok(files)
}

fn text<'a>(module: &'a Value, key: &str) -> &'a str {
    module.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the files of a directory that are named after a resource, such as
/// `cert-manager.io_issuers.yaml`.
fn definitions(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .filter(|path| {
            let name = path.file_name();
            name.is_some_and(|name| name.to_string_lossy().contains('_'))
        })
        .collect();
    files.sort();
    files
}
