//! Generates `proto/src/generated` from the `.proto` files, without `protoc`.
//!
//! The result is in the repository, so that neither the services nor the crates that other
//! projects use build this generator and its dependencies.

mod reasons;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of the contract, below `proto/`.
const FILES: [&str; 4] = [
    "latchkey/events/v1/events.proto",
    "latchkey/reason/v1/reason.proto",
    "latchkey/token/v1/token.proto",
    "latchkey/account/v1/account.proto",
];

/// `proto/` of this workspace.
fn proto() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).join("proto")
}

/// The directory of the generated files.
pub fn directory() -> PathBuf {
    proto().join("src/generated")
}

/// Returns every generated file by its name.
///
/// # Errors
/// The `.proto` files are not valid, or a reason has no complete meaning.
pub fn generate() -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut compiler = protox::Compiler::new([proto()])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let output = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(output.path())
        .emit_rerun_if_changed(false)
        // Test doubles of a service need not implement methods that are added later.
        .generate_default_stubs(true)
        // `Debug` of a token is written by hand, so that it does not print the token.
        .skip_debug(["latchkey.token.v1.AccessToken"])
        .compile_fds(compiler.file_descriptor_set())?;
    let mut files = files_in(output.path())?;
    files.insert(
        "reasons.rs".to_owned(),
        reasons::table(&compiler.descriptor_pool())?.into_bytes(),
    );
    // The compiler's own encoding: `prost_types` would drop the options of the reasons.
    files.insert(
        "descriptors.bin".to_owned(),
        compiler.encode_file_descriptor_set(),
    );
    Ok(files)
}

/// Returns the files of a directory by their names.
///
/// # Errors
/// The directory or an entry cannot be read as files.
pub fn files_in(directory: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read(entry.path())?))
        })
        .collect()
}

/// Makes a directory contain exactly these files. Returns a line for each file that it wrote or
/// removed.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn replace(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<String>> {
    let present = files_in(directory)?;
    let mut changes = Vec::new();
    for (name, content) in files {
        if present.get(name) != Some(content) {
            fs::write(directory.join(name), content)?;
            changes.push(format!("written: {name}"));
        }
    }
    for name in present.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(directory.join(name))?;
        changes.push(format!("removed: {name}"));
    }
    Ok(changes)
}
