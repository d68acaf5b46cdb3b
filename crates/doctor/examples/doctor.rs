//! `latchkey doctor` as a program of its own:
//! `cargo run -p latchkey-doctor --example doctor -- --help`.

use std::process::ExitCode;

use clap::Parser;
use latchkey_doctor::Doctor;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    doctor: Doctor,
}

#[tokio::main]
async fn main() -> ExitCode {
    Arguments::parse().doctor.run().await
}
