//! The callers: how each is built, as its README says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use latchkey_e2e::packages;

/// A caller that is ready to run.
#[derive(Debug)]
pub struct Caller {
    /// Program and first argument, in `directory`.
    pub command: &'static str,
    /// A copy of the example.
    pub directory: PathBuf,
}

/// Go is not installed, or older than the example's module says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoGo(String);

const TYPESCRIPT: &str = "../examples/typescript";
const PYTHON: &str = "../examples/python";
const GO: &str = "../examples/go";

impl Caller {
    pub fn typescript() -> anyhow::Result<Self> {
        let directory = packages::install_npm(TYPESCRIPT)?;
        let generate = ["npm", "run", "generate", "--"];
        complete(command(&generate, &directory).arg(contract()))?;
        complete(&mut command(&["npm", "run", "build"], &directory))?;
        Ok(Self {
            command: "node dist/main.js",
            directory,
        })
    }

    pub fn python() -> anyhow::Result<Self> {
        let directory = packages::install_python(PYTHON)?;
        std::fs::create_dir_all(directory.join("stubs"))?;
        let protoc = ["environment/bin/python", "-m", "grpc_tools.protoc"];
        complete(
            command(&protoc, &directory)
                .arg("-I")
                .arg(contract())
                .args([
                    "--python_out=stubs",
                    "--pyi_out=stubs",
                    "--grpc_python_out=stubs",
                    "latchkey/token/v1/token.proto",
                ]),
        )?;
        Ok(Self {
            command: "environment/bin/python caller.py",
            directory,
        })
    }

    /// The stubs are made with buf, which the example in TypeScript brings.
    pub fn go() -> anyhow::Result<Self> {
        require_go()?;
        let directory = packages::install_go(GO)?;
        let buf = packages::install_npm(TYPESCRIPT)?.join("node_modules/.bin/buf");
        complete(
            Command::new(buf)
                .arg("generate")
                .arg(contract())
                .env("GOTOOLCHAIN", "local")
                .current_dir(&directory),
        )?;
        let build = ["go", "build", "-o", "caller", "."];
        complete(command(&build, &directory).env("GOTOOLCHAIN", "local"))?;
        Ok(Self {
            command: "./caller",
            directory,
        })
    }
}

/// Go itself compares its version with that of the example's module.
fn require_go() -> anyhow::Result<()> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(GO);
    let output = command(&["go", "list", "-m"], &module)
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| NoGo(format!("cannot run go: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(NoGo(problem.trim().replace('\n', " ")).into())
}

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

/// A command in `directory`, where a program with a slash is.
pub fn command(words: &[&str], directory: &Path) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    let mut command = if program.contains('/') {
        Command::new(directory.join(program))
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(directory);
    command
}

fn complete(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
