//! `cargo dev`: builds what a command needs, with cargo's own progress, and then becomes
//! the program that carries the command out.
//!
//! This program has no dependencies. Its first line is therefore on the terminal within
//! seconds, before the hundreds of crates that the command needs are built.

mod plan;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use plan::Plan;

fn main() -> ExitCode {
    let plan = Plan::new(std::env::args_os().skip(1).collect());
    match run(&plan) {
        Ok(code) => code,
        Err(error) => {
            print(&format!("cargo dev: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns cargo's exit code if the build fails. If it succeeds, this process is replaced by
/// the program, which then receives every signal and sets the exit code itself.
fn run(plan: &Plan) -> Result<ExitCode, String> {
    print(&format!(
        "· cargo {} (the first build takes minutes)",
        plan.build.join(" ")
    ));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let status = Command::new(cargo)
        .args(&plan.build)
        .current_dir(workspace())
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
    }
    let program = program(plan)?;
    let error = Command::new(&program).args(&plan.arguments).exec();
    Err(format!("cannot run {}: {error}", program.display()))
}

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// The program lies in the directory of its build, next to that of this program.
fn program(plan: &Plan) -> Result<PathBuf, String> {
    let own = std::env::current_exe()
        .map_err(|error| format!("cannot find the directory of this program: {error}"))?;
    let target = own.ancestors().nth(2).unwrap_or(Path::new(""));
    Ok(target.join(plan.directory).join(plan.program))
}

fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
