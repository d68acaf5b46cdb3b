//! The code around the `main` of every service.

use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use latchkey_config::{ConfigError, Environment};

use crate::{database, metrics, telemetry, trust};

/// Exit code for a wrong or missing variable (`EX_CONFIG` of sysexits.h): a restart does not help.
const EXIT_CONFIG: u8 = 78;

/// Why a service ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable is wrong or missing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service cannot listen on an address or handle a signal.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A background task panicked or ended too early.
    #[error("background task {name}: {problem}")]
    Task {
        /// The name of the task.
        name: &'static str,
        /// How it ended.
        problem: String,
    },
    /// Any other failure.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// An input or output error of the operation `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// Any other error, with its causes.
    pub fn other(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        let error = error.into();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::Other(text)
    }
}

/// Sets up telemetry, runs the service and returns its exit code. A configuration error is one line
/// on standard error that names the variable.
pub async fn service_main<F>(
    service: &'static str,
    serve: impl FnOnce(Environment) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    let environment = Environment::of_process();
    let telemetry = match telemetry::init(service, &environment) {
        Ok(telemetry) => telemetry,
        Err(error) => return report_error(service, &error.into()),
    };
    metrics::install();
    if let Err(error) = trust::check(&environment) {
        return report_error(service, &error.into());
    }
    let outcome = tokio::select! {
        outcome = serve(environment.clone()) => outcome,
        error = database::refuse_transaction_pooling(&environment) => Err(error.into()),
    };
    telemetry.flush().await;
    exit_code(service, outcome)
}

/// Binds the address of a variable, so that a port that is in use stops the start. The listener is
/// not blocking, for tokio.
///
/// # Errors
/// The operating system refuses.
pub fn listen(variable: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |error| StartError::io(format!("{variable}: cannot listen on {address}"), error);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Prints the answer of a command.
///
/// # Errors
/// The answer cannot be written. A reader such as `head` closes the pipe early, which
/// [`exit_code`] does not count as a failure.
pub fn print_answer(answer: &str) -> Result<(), StartError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")
        .and_then(|()| out.flush())
        .map_err(|error| StartError::io("cannot write the answer", error))
}

/// The exit code of a command.
pub fn exit_code(service: &str, outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => report_error(service, &error),
    }
}

/// Prints the error and returns its exit code.
pub fn report_error(service: &str, error: &StartError) -> ExitCode {
    // If standard error is closed, the exit code remains.
    let _ = writeln!(std::io::stderr(), "{service}: {error}");
    match error {
        StartError::Config(_) => ExitCode::from(EXIT_CONFIG),
        StartError::Io { .. } | StartError::Task { .. } | StartError::Other(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_task_that_failed_gives_an_exit_code_that_is_not_zero() {
        let error = StartError::Task {
            name: "sweep",
            problem: "it panicked".to_owned(),
        };
        assert_eq!(exit_code("test-svc", Err(error)), ExitCode::FAILURE);
    }
}
