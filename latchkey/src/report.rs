//! What is printed about a command that was not carried out, and its exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use latchkey_config::{EXIT_CODE, Environment};
use latchkey_service::database;

use crate::console::Console;
use crate::failure::Failure;

/// Exit code for wrong arguments, as that of clap.
const USAGE: u8 = 2;

/// Prints the failure and returns its exit code.
pub(crate) fn report(
    failure: &Failure,
    environment: &Environment,
    console: &mut Console<'_>,
) -> ExitCode {
    match failure {
        Failure::Config(errors) => {
            for error in errors.iter() {
                console.say(&error.to_string());
            }
            ExitCode::from(EXIT_CODE)
        }
        Failure::Usage(text) => {
            console.say(text);
            ExitCode::from(USAGE)
        }
        // A reader such as `head` closes the pipe early.
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Failure::Privilege(text) => {
            let options = database::options(environment);
            let role = options.map(|options| options.get_username().to_owned());
            console.say(&format!(
                "{text}: the role {} of DATABASE_URL may not do this; --help of the command names \
                 the role that may",
                role.unwrap_or_default()
            ));
            ExitCode::FAILURE
        }
        Failure::Refused(_) | Failure::Output(_) => {
            console.say(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
