//! Packs images, because no registry is reached from the cluster: a program, the shared libraries
//! that it is linked with, and what `deploy/Containerfile` adds.

mod archive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use latchkey_servers::Progress;
use serde_json::json;

use crate::digest::sha256;
use crate::programs::Programs;
use crate::session::workspace;
use archive::Archive;

/// Image that holds the namespaces of a pod.
pub const PAUSE: &str = "localhost/pause:1";
/// Image of the cluster's name server, as `dns.yaml` says.
const COREDNS: &str = "localhost/coredns:1";
/// The images of a release and their programs.
pub const RELEASED: [(&str, &str); 4] = [
    ("auth-svc", "auth-svc"),
    ("sync-svc", "sync-svc"),
    ("refresh-svc", "refresh-svc"),
    ("migrate", "latchkey-migrate"),
];
/// The commands for operators, which no manifest names.
pub const COMMANDS: (&str, &str) = ("latchkey", "latchkey");
/// The image that only the overlay `dev` needs.
const DEMO: (&str, &str) = ("demo-provider", "latchkey-demo-provider");
/// An image of Latchkey is smaller than this number of bytes.
const LIMIT: usize = 40_000_000;
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image with one program.
struct Image<'a> {
    name: &'a str,
    /// The program's file on this machine.
    program: &'a Path,
    /// The program in the image, and its arguments.
    entrypoint: &'a [&'a str],
}

/// A packed image.
#[derive(PartialEq, Eq)]
struct Packed {
    /// The image in the format of `docker save`.
    archive: Vec<u8>,
    /// The id of the image: the digest of its configuration, which names that of its layer.
    id: String,
}

/// Packs every image into a file of `directory` and returns the files.
///
/// # Errors
/// A program or a library cannot be read, or a file cannot be written; or an image of Latchkey is
/// too large or not reproducible.
pub fn pack_all(
    programs: &Programs,
    directory: &Path,
    progress: &Progress,
) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let mut files = Vec::new();
    let coredns = programs.directory("coredns")?.join("coredns");
    for image in [
        Image {
            name: PAUSE,
            program: Path::new("/usr/bin/sleep"),
            entrypoint: &["/usr/bin/sleep", "infinity"],
        },
        Image {
            name: COREDNS,
            program: &coredns,
            entrypoint: &["/coredns"],
        },
    ] {
        files.push(image.write(&image.pack()?, directory)?);
    }
    let release = release(&workspace())?;
    for images in [RELEASED.as_slice(), &[COMMANDS], &[DEMO]] {
        let packed = pack(
            images,
            &release,
            &devstack::build::binary,
            directory,
            progress,
        )?;
        files.extend(packed);
    }
    Ok(files)
}

/// Packs images of Latchkey with this tag, whose programs `find` finds, into files of `directory`.
/// Checks that each is small and that it is the same when it is packed twice, and prints it.
///
/// # Errors
/// See [`pack_all`].
pub fn pack(
    images: &[(&str, &str)],
    tag: &str,
    find: &impl Fn(&str) -> anyhow::Result<PathBuf>,
    directory: &Path,
    progress: &Progress,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (name, program) in images {
        let name = format!("latchkey/{name}:{tag}");
        let (reference, path) = (
            format!("docker.io/{name}"),
            format!("/usr/local/bin/{program}"),
        );
        let program = find(program)?;
        let image = Image {
            name: &reference,
            program: &program,
            entrypoint: &[path.as_str()],
        };
        let packed = image.pack()?;
        anyhow::ensure!(
            packed == image.pack()?,
            "the image {name} is not reproducible: packed twice, it differs"
        );
        let size = packed.archive.len();
        let megabytes = format!("{}.{} MB", size / 1_000_000, size / 100_000 % 10);
        anyhow::ensure!(
            size < LIMIT,
            "the image {name} has {megabytes}, and at most {} are allowed",
            LIMIT / 1_000_000
        );
        let id = &packed.id;
        progress(&format!(
            "  {name}: {megabytes}, packed twice as sha256:{id}"
        ));
        files.push(image.write(&packed, directory)?);
    }
    Ok(files)
}

/// Returns the tag of the images of a checkout, which stands in `base/release`.
///
/// # Errors
/// The checkout has no such manifest.
pub fn release(checkout: &Path) -> anyhow::Result<String> {
    let file = checkout.join("deploy/kubernetes/base/release/kustomization.yaml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    text.split_once("newTag: &release ")
        .and_then(|(_, rest)| rest.split([' ', '}']).next())
        .map(str::to_owned)
        .with_context(|| format!("{} has no release", file.display()))
}

impl Image<'_> {
    /// Writes the packed image into a file of `directory` and returns the file.
    fn write(&self, packed: &Packed, directory: &Path) -> anyhow::Result<PathBuf> {
        let file = directory.join(format!("{}.tar", self.name.replace(['/', ':'], "-")));
        fs::write(&file, &packed.archive).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Packs the image with one layer.
    fn pack(&self) -> anyhow::Result<Packed> {
        let layer = self.layer()?;
        let digest = sha256(&layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let config = serde_json::to_vec(&config)?;
        let id = sha256(&config);
        let config_name = format!("{id}.json");
        let layer_name = format!("{digest}/layer.tar");
        let manifest = json!([
            {"Config": config_name, "RepoTags": [self.name], "Layers": [layer_name]}
        ]);
        let mut image = Archive::default();
        image.file(&config_name, 0o644, &config)?;
        image.file(&layer_name, 0o644, &layer)?;
        image.file("manifest.json", 0o644, &serde_json::to_vec(&manifest)?)?;
        Ok(Packed {
            archive: image.finish(),
            id,
        })
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
    fn an_image_of_forty_megabytes_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::copy("/usr/bin/sleep", &program).unwrap();
        let find = |_: &str| Ok(program.clone());
        let try_it = || {
            let progress = latchkey_servers::silent();
            pack(&[("a", "a")], "1", &find, directory.path(), &progress)
        };
        assert_eq!(try_it().unwrap().len(), 1);
        let file = fs::File::options().append(true).open(&program).unwrap();
        file.set_len(u64::try_from(LIMIT).unwrap()).unwrap();
        let error = try_it().unwrap_err().to_string();
        assert!(error.contains("at most 40 are allowed"), "{error}");
    }

    #[test]
    fn the_tag_is_the_version_of_the_workspace() {
        assert_eq!(release(&workspace()).unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
