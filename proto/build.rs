//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "latchkey/events/v1/events.proto",
        "latchkey/token/v1/token.proto",
        "latchkey/account/v1/account.proto",
    ];
    let descriptors = protox::compile(files, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptors.bin"),
        protox::prost_reflect::prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        // A method that is added breaks no test double.
        .generate_default_stubs(true)
        // A token that is printed is a token that is lost.
        .skip_debug(["latchkey.token.v1.AccessToken"])
        .compile_fds(descriptors)?;
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}
