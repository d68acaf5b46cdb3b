//! The commands of `latchkey`, as an operator runs them.

use std::process::ExitCode;

use latchkey::Console;
use latchkey_config::Environment;

/// Runs a command and returns whether it succeeded, and what it printed. The runtime of the test
/// must have several threads.
pub fn latchkey(arguments: &[&str], variables: &[(&str, String)]) -> (bool, String) {
    let command = std::iter::once("latchkey").chain(arguments.iter().copied());
    let cli = match latchkey::parse(command) {
        Ok(cli) => cli,
        Err(problem) => return (false, problem.to_string()),
    };
    let environment: Environment = variables.iter().cloned().collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: None,
    };
    let run = latchkey::run(cli, &environment, &mut console);
    let runtime = tokio::runtime::Handle::current();
    let code = tokio::task::block_in_place(|| runtime.block_on(run));
    let text = [out, err].concat();
    (code == ExitCode::SUCCESS, String::from_utf8(text).unwrap())
}
