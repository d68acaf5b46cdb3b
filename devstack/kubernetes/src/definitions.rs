//! Definitions of custom resources that components of the overlays use, from the Go modules of
//! their projects.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Deserializer, Value};
use tokio::process::Command;

use crate::output::output_of;
use crate::programs::source;

/// Go module, the directory of its definitions, and those of them that components use.
/// `go/definitions/go.mod` has the versions.
const MODULES: [(&str, &str, &[&str]); 5] = [
    (
        "github.com/cert-manager/cert-manager",
        "deploy/crds",
        &[
            "cert-manager.io_certificates.yaml",
            "cert-manager.io_issuers.yaml",
        ],
    ),
    (
        "github.com/external-secrets/external-secrets",
        "config/crds/bases",
        &["external-secrets.io_externalsecrets.yaml"],
    ),
    (
        "github.com/kedacore/keda/v2",
        "config/crd/bases",
        &[
            "keda.sh_scaledobjects.yaml",
            "keda.sh_triggerauthentications.yaml",
        ],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
        &[
            "monitoring.coreos.com_podmonitors.yaml",
            "monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
    (
        "sigs.k8s.io/gateway-api",
        "config/crd/standard",
        &["gateway.networking.k8s.io_httproutes.yaml"],
    ),
];

/// Downloads the modules, if they are not in Go's cache, and returns the files of the
/// definitions.
///
/// # Errors
/// A module cannot be downloaded, or has no definitions.
pub async fn download() -> anyhow::Result<Vec<PathBuf>> {
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json"]);
    let output = output_of(command.current_dir(source("definitions")))
        .await
        .context("cannot download the definitions of custom resources")?;
    let modules: Vec<Value> = Deserializer::from_str(&output)
        .into_iter()
        .collect::<Result<_, _>>()?;
    let mut files = Vec::new();
    for (name, directory, definitions) in MODULES {
        let module = modules.iter().find(|module| text(module, "Path") == name);
        let root = module.map_or("", |module| text(module, "Dir"));
        for definition in definitions {
            let file = Path::new(root).join(directory).join(definition);
            anyhow::ensure!(file.is_file(), "{name} has no definition {definition}");
            files.push(file);
        }
    }
    Ok(files)
}

fn text<'a>(module: &'a Value, key: &str) -> &'a str {
    module.get(key).and_then(Value::as_str).unwrap_or_default()
}
