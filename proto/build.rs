//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

use std::fmt::Write as _;

use protox::prost_reflect::{DescriptorPool, DynamicMessage};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let files = [
        "latchkey/events/v1/events.proto",
        "latchkey/reason/v1/reason.proto",
        "latchkey/token/v1/token.proto",
        "latchkey/account/v1/account.proto",
    ];
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // With the options that reasons have, which descriptors of prost have not.
    std::fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    std::fs::write(
        out.join("reasons.rs"),
        reasons(&compiler.descriptor_pool())?,
    )?;
    tonic_prost_build::configure()
        // A method that is added breaks no test double.
        .generate_default_stubs(true)
        // A token that is printed is a token that is lost.
        .skip_debug(["latchkey.token.v1.AccessToken"])
        .compile_fds(compiler.file_descriptor_set())?;
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}

/// A table of the reasons with their options, in Rust.
fn reasons(pool: &DescriptorPool) -> Outcome<String> {
    let reasons = pool
        .get_enum_by_name("latchkey.reason.v1.Reason")
        .ok_or("no Reason")?;
    let meaning = pool
        .get_extension_by_name("latchkey.reason.v1.meaning")
        .ok_or("no meaning")?;
    let mut table = String::from("&[\n");
    for reason in reasons.values().filter(|reason| reason.number() != 0) {
        let name = reason.name().trim_start_matches("REASON_");
        let options = reason.options();
        let value = options.get_extension(&meaning);
        let meaning = value
            .as_message()
            .filter(|_| options.has_extension(&meaning))
            .ok_or_else(|| format!("{name} has no meaning"))?;
        writeln!(
            table,
            "ReasonInfo {{ number: {}, name: {name:?}, code: {:?}, retry: {}, text: {:?}, \
             remedy: {:?}, in_account_service: {:?} }},",
            reason.number(),
            text_of(meaning, "code")?,
            retry_of(meaning)?,
            text_of(meaning, "text")?,
            text_of(meaning, "remedy")?,
            text_of(meaning, "in_account_service").unwrap_or_else(|_| name.to_owned()),
        )?;
    }
    table.push(']');
    Ok(table)
}

fn text_of(meaning: &DynamicMessage, field: &str) -> Outcome<String> {
    let value = meaning.get_field_by_name(field).ok_or("no such field")?;
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{field} is missing").into()),
    }
}

fn retry_of(meaning: &DynamicMessage) -> Outcome<&'static str> {
    let value = meaning.get_field_by_name("retry").ok_or("no retry")?;
    match value.as_enum_number() {
        Some(1) => Ok("Retry::Never"),
        Some(2) => Ok("Retry::Later"),
        Some(3) => Ok("Retry::Person"),
        _ => Err("retry is missing".into()),
    }
}
