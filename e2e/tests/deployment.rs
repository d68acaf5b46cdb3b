//! The programs accept the environment that each deployment under `deploy/` gives them, and read
//! every variable of it (R40).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;
use devstack::build::binary;
use latchkey_checks::manifests::{Rendering, list, make_secrets, render, text};
use latchkey_servers::silent;

type Variables = BTreeMap<String, String>;

/// A container of a deployment.
struct Container {
    program: String,
    /// Its variables. Paths are those of this machine.
    variables: Variables,
    /// Names of variables that several programs share; not each of them reads each variable.
    shared: Vec<String>,
}

impl Container {
    fn config(&self, command: &str, more: &[(&str, &str)]) -> anyhow::Result<Output> {
        let output = Command::new(binary(&self.program)?)
            .args(["config", command])
            .env_clear()
            .envs(&self.variables)
            .envs(more.iter().copied())
            .output()?;
        Ok(output)
    }

    /// Checks that there are neither errors nor warnings.
    fn check(&self, more: &[(&str, &str)]) -> anyhow::Result<()> {
        let output = self.config("check", more)?;
        let problems = String::from_utf8(output.stderr)?;
        anyhow::ensure!(
            output.status.success() && problems.is_empty(),
            "{} with {more:?}: {problems}",
            self.program
        );
        Ok(())
    }

    fn names_read(&self) -> anyhow::Result<Vec<String>> {
        let text = String::from_utf8(self.config("list", &[])?.stdout)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// The values of a YAML document by their path, such as `services/auth-svc/environment/PUBLIC_URL`.
/// Lists and mappings in brackets are one value, as they are written.
fn values(yaml: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    for line in yaml.lines() {
        let text = line.trim_start();
        let Some((key, value)) = text.split_once(':').filter(|_| !text.starts_with('#')) else {
            continue;
        };
        let indent = line.len() - text.len();
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key));
        let keys: Vec<_> = path.iter().map(|(_, key)| *key).collect();
        values.insert(keys.join("/"), value.trim().trim_matches('"').to_owned());
    }
    values
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs `compose-secrets` for another directory than that of this repository.
fn compose_secrets(directory: &Path) -> anyhow::Result<PathBuf> {
    let script = directory.join("compose-secrets");
    std::fs::copy(deploy().join("compose-secrets"), &script)?;
    // The mask of most machines, with which other users may read new files. The copy is an argument
    // of bash: a file that another thread's child still has open for writing cannot be executed.
    let command = "umask 022 && bash compose-secrets";
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(directory)
        .output()
        .context("cannot run bash")?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    Ok(directory.join("secrets"))
}

/// The containers of `compose.yaml` that run programs of this repository.
fn compose(secrets: &Path) -> anyhow::Result<Vec<Container>> {
    let yaml = values(&std::fs::read_to_string(deploy().join("compose.yaml"))?);
    let shared: Variables = std::fs::read_to_string(deploy().join("compose.env"))?
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut containers = Vec::new();
    for (path, build) in &yaml {
        let Some(service) = path
            .strip_prefix("services/")
            .and_then(|path| path.strip_suffix("/build"))
        else {
            continue;
        };
        let target = build.split_once("target: ").context("no target")?.1;
        // It serves nothing, so it has no `config check`.
        if target.starts_with("latchkey") {
            continue;
        }
        let prefix = format!("services/{service}/environment/");
        let mut variables = shared.clone();
        for (path, value) in &yaml {
            if let Some(name) = path.strip_prefix(&prefix) {
                let value = path_here(value, &yaml, secrets)?;
                variables.insert(name.to_owned(), value);
            }
        }
        containers.push(Container {
            program: match target.trim_end_matches([' ', '}']) {
                "migrate" => "latchkey-migrate".to_owned(),
                service => service.to_owned(),
            },
            variables,
            shared: shared.keys().cloned().collect(),
        });
    }
    Ok(containers)
}

/// The containers of a rendering of the manifests of Kubernetes that run programs with `config
/// check`, with the secrets of `make-secrets`. Files of `ConfigMaps` are written to `directory`.
fn kubernetes(
    rendering: &Rendering,
    secrets: &Path,
    directory: &Path,
) -> anyhow::Result<Vec<Container>> {
    const PROGRAMS: [&str; 4] = ["auth-svc", "latchkey-migrate", "refresh-svc", "sync-svc"];
    let mut containers = Vec::new();
    for container in rendering.all_containers() {
        let program = text(container.spec, "/command/0").rsplit('/').next();
        let Some(program) = program.filter(|program| PROGRAMS.contains(program)) else {
            continue;
        };
        let mut variables = Variables::new();
        for (name, value) in rendering.variables(&container) {
            let value = match container.volume_of(&value) {
                Some((volume, path)) => mounted(rendering, volume, path, secrets, directory)?,
                None => value,
            };
            variables.insert(name, value);
        }
        // The other ConfigMaps are of one service.
        let shared = list(container.spec, "/envFrom")
            .iter()
            .filter_map(|source| {
                let map = text(source, "/configMapRef/name");
                let is_shared = ["settings-", "provider-settings-"];
                let is_shared = is_shared.iter().any(|start| map.starts_with(start));
                rendering.get("ConfigMap", map).filter(|_| is_shared)
            })
            .filter_map(|map| map["data"].as_object())
            .flat_map(|data| data.keys().cloned());
        containers.push(Container {
            program: program.to_owned(),
            shared: shared.collect(),
            variables,
        });
    }
    Ok(containers)
}

/// The path on this machine of a file in a volume of a pod.
fn mounted(
    rendering: &Rendering,
    volume: &serde_json::Value,
    path: &str,
    secrets: &Path,
    directory: &Path,
) -> anyhow::Result<String> {
    let secret = text(volume, "/secret/secretName");
    let map = text(volume, "/configMap/name");
    let here = if !secret.is_empty() {
        // What the dev overlay adds is beside the secrets of the base.
        let places = ["base", "dev"].map(|part| secrets.join(part).join(secret));
        let mut places = places.into_iter().filter(|place| place.is_dir());
        let place = places
            .next()
            .with_context(|| format!("no Secret {secret}"))?;
        let items = list(volume, "/secret/items").iter();
        let mut items = items.filter(|item| text(item, "/path") == path);
        place.join(items.next().map_or(path, |item| text(item, "/key")))
    } else if let Some(map) = rendering.get("ConfigMap", map) {
        let content = map["data"][path].as_str();
        let file = directory.join(format!("{}-{path}", text(map, "/metadata/name")));
        std::fs::write(&file, content.with_context(|| format!("no key {path}"))?)?;
        file
    } else if path == "ca.crt" {
        // Kubernetes mounts its authority and a token.
        secrets.join("ca/ca.crt")
    } else {
        let file = directory.join("token");
        std::fs::write(&file, "token")?;
        file
    };
    anyhow::ensure!(here.is_file(), "{} is missing", here.display());
    let here = here.into_os_string().into_string();
    here.map_err(|path| anyhow::anyhow!("not UTF-8: {}", path.display()))
}

/// Checks that each program reads the variables that only it has, and that some program reads each
/// of the others.
fn check_names(containers: &[Container]) -> anyhow::Result<()> {
    let mut read_by_any = BTreeSet::new();
    for container in containers {
        let read = container.names_read()?;
        for name in container.variables.keys() {
            let value_name = name.strip_suffix("_FILE").unwrap_or(name);
            anyhow::ensure!(
                read.iter().any(|one| one == name || one == value_name)
                    || container.shared.contains(name),
                "{} does not read {name}",
                container.program
            );
        }
        read_by_any.extend(read);
    }
    for name in containers.iter().flat_map(|container| &container.shared) {
        let value_name = name.strip_suffix("_FILE").unwrap_or(name);
        anyhow::ensure!(
            read_by_any.contains(name) || read_by_any.contains(value_name),
            "no program reads {name}"
        );
    }
    Ok(())
}

/// The path on this machine of a mounted secret or policy; any other value as it is.
fn path_here(
    value: &str,
    yaml: &BTreeMap<String, String>,
    secrets: &Path,
) -> anyhow::Result<String> {
    let here = if let Some(secret) = value.strip_prefix("/run/secrets/") {
        let file = yaml
            .get(&format!("secrets/{secret}"))
            .and_then(|value| value.split_once("secrets/"))
            .with_context(|| format!("no secret {secret}"))?;
        secrets.join(file.1.trim_end_matches([' ', '}']))
    } else if let Some(file) = value.strip_prefix("/etc/latchkey/") {
        deploy().join("policy").join(file)
    } else {
        return Ok(value.to_owned());
    };
    let path = here.into_os_string().into_string();
    path.map_err(|path| anyhow::anyhow!("not UTF-8: {}", path.display()))
}

// R40
#[test]
fn the_containers_of_compose_start_as_shipped_and_with_one_provider() -> anyhow::Result<()> {
    const GOOGLE: &[(&str, &str)] = &[
        ("AUTH_GOOGLE_ENABLED", "true"),
        ("AUTH_GOOGLE_CLIENT_ID", "id"),
        ("AUTH_GOOGLE_CLIENT_SECRET", "secret"),
    ];
    const MICROSOFT: &[(&str, &str)] = &[
        ("AUTH_MICROSOFT_ENABLED", "true"),
        ("AUTH_MICROSOFT_CLIENT_ID", "id"),
        ("AUTH_MICROSOFT_CLIENT_SECRET", "secret"),
    ];
    let directory = tempfile::tempdir()?;
    let containers = compose(&compose_secrets(directory.path())?)?;
    let programs: Vec<_> = containers.iter().map(|one| one.program.as_str()).collect();
    let expected = ["auth-svc", "latchkey-migrate", "refresh-svc", "sync-svc"];
    assert_eq!(programs, expected);
    for container in &containers {
        for more in [&[][..], GOOGLE, MICROSOFT] {
            container.check(more)?;
        }
    }
    Ok(())
}

// R40
#[test]
fn every_variable_of_compose_is_read() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    check_names(&compose(&compose_secrets(directory.path())?)?)
}

// R40
#[test]
fn the_containers_of_kubernetes_start_and_every_variable_is_read() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let secrets = make_secrets(directory.path())?;
    for rendering in render(&silent())? {
        let containers = kubernetes(&rendering, &secrets, directory.path())?;
        // Each service waits for the migrations, and one Job applies them.
        assert_eq!(containers.len(), 7);
        let (overlay, components) = (&rendering.overlay, &rendering.components);
        let name = || format!("{overlay} with {components:?}");
        for container in &containers {
            container.check(&[]).with_context(name)?;
        }
        check_names(&containers).with_context(name)?;
    }
    Ok(())
}

// R35
#[test]
fn other_users_of_the_host_cannot_reach_the_secrets_of_compose() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let secrets = compose_secrets(directory.path())?;
    let mode = |path: &Path| anyhow::Ok(path.metadata()?.permissions().mode() & 0o777);
    assert_eq!(mode(&secrets)?, 0o700);
    assert_eq!(mode(&secrets.join("ca.key"))?, 0o600);
    // The containers run as another user, who reads the files that are mounted.
    assert_eq!(mode(&secrets.join("sealing_private_keys"))?, 0o644);
    // A directory that an earlier version created is closed, and nothing is replaced.
    let key = std::fs::read(secrets.join("sealing_private_keys"))?;
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o755))?;
    compose_secrets(directory.path())?;
    assert_eq!(mode(&secrets)?, 0o700);
    assert_eq!(std::fs::read(secrets.join("sealing_private_keys"))?, key);
    Ok(())
}
