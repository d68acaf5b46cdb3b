//! Packs images, because no registry is reached from the cluster: a program, the shared libraries
//! that it is linked with, and what `deploy/Containerfile` adds.

mod archive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::json;

use crate::digest::sha256;
use crate::programs::Programs;
use crate::session::workspace;
use archive::Archive;

/// Image that holds the namespaces of a pod.
pub const PAUSE: &str = "localhost/pause:1";
/// Image of the cluster's name server, as `dns.yaml` says.
const COREDNS: &str = "localhost/coredns:1";
/// Images of Latchkey and their programs.
const LATCHKEY: [(&str, &str); 5] = [
    ("auth-svc", "auth-svc"),
    ("sync-svc", "sync-svc"),
    ("refresh-svc", "refresh-svc"),
    ("migrate", "latchkey-migrate"),
    ("demo-provider", "latchkey-demo-provider"),
];
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image with one program.
struct Image<'a> {
    name: &'a str,
    /// The program's file on this machine.
    program: &'a Path,
    /// The program in the image, and its arguments.
    entrypoint: &'a [&'a str],
}

/// Packs every image into a file of `directory` and returns the files.
///
/// # Errors
/// A program or a library cannot be read, or a file cannot be written.
pub fn pack_all(programs: &Programs, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let release = release()?;
    let mut files = Vec::new();
    let mut pack = |image: &Image<'_>| -> anyhow::Result<()> {
        let file = directory.join(format!("{}.tar", image.name.replace(['/', ':'], "-")));
        fs::write(&file, image.pack()?).with_context(|| file.display().to_string())?;
        files.push(file);
        Ok(())
    };
    pack(&Image {
        name: PAUSE,
        program: Path::new("/usr/bin/sleep"),
        entrypoint: &["/usr/bin/sleep", "infinity"],
    })?;
    pack(&Image {
        name: COREDNS,
        program: &programs.directory("coredns")?.join("coredns"),
        entrypoint: &["/coredns"],
    })?;
    for (name, program) in LATCHKEY {
        pack(&Image {
            name: &format!("docker.io/latchkey/{name}:{release}"),
            program: &devstack::build::binary(program)?,
            entrypoint: &[format!("/usr/local/bin/{program}").as_str()],
        })?;
    }
    Ok(files)
}

/// Returns the tag of the images, which stands in `base/release`.
fn release() -> anyhow::Result<String> {
    let file = workspace().join("deploy/kubernetes/base/release/kustomization.yaml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    text.split_once("newTag: &release ")
        .and_then(|(_, rest)| rest.split([' ', '}']).next())
        .map(str::to_owned)
        .with_context(|| format!("{} has no release", file.display()))
}

impl Image<'_> {
    /// Returns the image in the format of `docker save`, with one layer.
    fn pack(&self) -> anyhow::Result<Vec<u8>> {
        let layer = self.layer()?;
        let digest = sha256(&layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let config = serde_json::to_vec(&config)?;
        let config_name = format!("{}.json", sha256(&config));
        let layer_name = format!("{digest}/layer.tar");
        let manifest = json!([
            {"Config": config_name, "RepoTags": [self.name], "Layers": [layer_name]}
        ]);
        let mut image = Archive::default();
        image.file(&config_name, 0o644, &config)?;
        image.file(&layer_name, 0o644, &layer)?;
        image.file("manifest.json", 0o644, &serde_json::to_vec(&manifest)?)?;
        Ok(image.finish())
    }

    fn layer(&self) -> anyhow::Result<Vec<u8>> {
        let mut layer = Archive::default();
        let users = "root:x:0:0::/:/none\nnonroot:x:65532:65532::/:/none\n";
        layer.file("etc/passwd", 0o644, users.as_bytes())?;
        layer.directory("tmp", 0o1777)?;
        if Path::new(AUTHORITIES).is_file() {
            layer.file(AUTHORITIES, 0o644, &fs::read(AUTHORITIES)?)?;
        }
        for library in libraries(self.program)? {
            layer.file(&library.to_string_lossy(), 0o755, &fs::read(&library)?)?;
        }
        let program = self.entrypoint.first().copied().unwrap_or_default();
        let content = fs::read(self.program).with_context(|| self.program.display().to_string())?;
        layer.file(program, 0o755, &content)?;
        Ok(layer.finish())
    }
}

/// Returns the shared libraries of a program and its loader; none if it is linked statically.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .stdin(Stdio::null())
        .output()
        .context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines();
    let paths = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// The name of this machine's processor in images.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_the_program_and_its_libraries() {
        let image = Image {
            name: PAUSE,
            program: Path::new("/usr/bin/sleep"),
            entrypoint: &["/usr/bin/sleep", "infinity"],
        };
        let layer = image.layer().unwrap();
        let names = ["usr/bin/sleep", "etc/passwd", "/libc.so.6\0", "ld-linux-"];
        for name in names {
            let name = name.as_bytes();
            let found = layer.windows(name.len()).any(|window| window == name);
            assert!(found, "{} is missing", String::from_utf8_lossy(name));
        }
        assert_eq!(layer, image.layer().unwrap(), "a layer is reproducible");
    }

    #[test]
    fn the_tag_is_the_version_of_the_workspace() {
        assert_eq!(release().unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
