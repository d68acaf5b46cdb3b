//! `latchkey`: the commands for operators.

use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::process::ExitCode;

use latchkey::{Console, parse, run};
use latchkey_config::Environment;

// One command does one thing: two threads are enough.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(problem) => {
            // If the output is closed, the exit code remains.
            let _ = problem.print();
            return ExitCode::from(u8::try_from(problem.exit_code()).unwrap_or(2));
        }
    };
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (mut out, mut err) = (stdout(), stderr());
    let mut input = stdin().lock();
    let is_asked = input.is_terminal() && err.is_terminal();
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: if is_asked { Some(&mut input) } else { None },
    };
    run(cli, &Environment::of_process(), &mut console).await
}
