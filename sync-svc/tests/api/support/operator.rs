//! The commands of `latchkey`, as an operator runs them.

use std::io::BufRead;
use std::process::ExitCode;

use latchkey::Console;
use latchkey_testkit::Role;
use serde_json::Value;

use super::service::TestService;

/// What a command printed.
#[derive(Debug)]
pub struct Ran {
    /// Whether its exit code was 0.
    pub succeeded: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The JSON value on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command with the servers of this test, and the database role of a person. `typed` is what
/// the operator types when they are asked; `None` if nobody can be asked.
pub async fn latchkey(service: &TestService, arguments: &[&str], typed: Option<&str>) -> Ran {
    let command = std::iter::once("latchkey").chain(arguments.iter().copied());
    let cli = latchkey::parse(command).unwrap_or_else(|problem| panic!("{problem}"));
    let environment = [
        ("DATABASE_URL", service.database.url(Role::Operator)),
        ("AMQP_URL", service.broker.url().to_owned()),
    ];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut typed = typed.map(str::as_bytes);
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: typed.as_mut().map(|typed| typed as &mut dyn BufRead),
    };
    let code = latchkey::run(cli, &environment.into_iter().collect(), &mut console).await;
    Ran {
        succeeded: code == ExitCode::SUCCESS,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}
