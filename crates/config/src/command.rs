//! The command `config` of every program, and the report of faulty variables.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{ConfigError, ConfigErrors, Environment};

/// Exit code of a program whose configuration is faulty (`EX_CONFIG` of sysexits.h): starting it
/// again does not help.
pub const EXIT_CODE: u8 = 78;

/// The commands about the configuration of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Read every variable and report all that are faulty or look misspelt. Starts nothing.
    Check,
    /// List the names of the variables that are read; each may end with _FILE.
    List,
}

impl ConfigCommand {
    /// Carries the command out for a program that has read its configuration from
    /// `environment`.
    pub fn run<T>(
        self,
        program: &str,
        environment: &Environment,
        read: Result<T, ConfigErrors>,
    ) -> ExitCode {
        match (self, read.map(drop)) {
            (Self::List, _) => print(environment.names_read()),
            (Self::Check, Err(errors)) => return report(program, &errors, &environment.warnings()),
            (Self::Check, Ok(())) => {
                report(program, &ConfigErrors::default(), &environment.warnings());
                print(["the configuration is complete"]);
            }
        }
        ExitCode::SUCCESS
    }
}

/// A command that a service had before there was `latchkey`. It says what to type now.
#[derive(Debug, Clone, Args)]
pub struct MovedCommand {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

impl MovedCommand {
    /// Says in one line that `program old` is `latchkey new`, and returns the exit code of a wrong
    /// command.
    pub fn report(&self, program: &str, old: &str, new: &str) -> ExitCode {
        // If standard error is closed, the exit code remains.
        let _ = writeln!(
            std::io::stderr(),
            "{program}: the command {old} moved: type `latchkey {new} …` in place of \
             `{program} {old} …`"
        );
        ExitCode::from(2)
    }
}

/// Prints every fault and every warning as one line to standard error, and returns the exit code
/// for a faulty configuration.
pub fn report(program: &str, errors: &ConfigErrors, warnings: &[ConfigError]) -> ExitCode {
    let mut out = std::io::stderr().lock();
    // If standard error is closed, the exit code remains.
    for error in errors.iter() {
        let _ = writeln!(out, "{program}: {error}");
    }
    for warning in warnings {
        let _ = writeln!(out, "{program}: warning: {warning}");
    }
    ExitCode::from(EXIT_CODE)
}

fn print<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        // A reader such as `head` may close the pipe early.
        let _ = writeln!(out, "{line}");
    }
}
