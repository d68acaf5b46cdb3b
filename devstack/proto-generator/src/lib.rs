//! Generates `proto/src/generated` from the `.proto` files, without `protoc`.
//!
//! The result is in the repository, so that neither the services nor the crates that other
//! projects use build this generator and its dependencies.

mod reasons;

use std::collections::BTreeMap;
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
    package.join("../../proto")
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
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(output.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, std::fs::read(entry.path())?);
    }
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
