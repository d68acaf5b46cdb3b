//! The code around the `main` of every service.

use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use latchkey_config::{ConfigCommand, ConfigError, ConfigErrors, Environment, read_all};

use crate::telemetry::Telemetry;
use crate::{database, metrics, outgoing_proxy, telemetry, trust};

/// Why a service ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Variables are faulty.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
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

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.into())
    }
}

impl From<database::OpenError> for StartError {
    fn from(error: database::OpenError) -> Self {
        match error {
            database::OpenError::Config(errors) => Self::Config(errors),
            database::OpenError::Connect(error) => Self::Other(error.to_string()),
        }
    }
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
            if database::is_refused_to_the_role(inner) {
                text.push_str(": the role of DATABASE_URL may not do this");
            }
            cause = inner.source();
        }
        Self::Other(text)
    }
}

impl From<sqlx::Error> for StartError {
    fn from(error: sqlx::Error) -> Self {
        Self::other(error)
    }
}

/// Reads the configuration, sets up telemetry, runs the service and returns its exit code. If
/// variables are faulty, nothing is started, and standard error is that of `config check`.
pub async fn service_main<C, F>(
    service: &'static str,
    read: impl FnOnce(&Environment) -> Result<C, ConfigErrors>,
    serve: impl FnOnce(C) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    let environment = Environment::of_process();
    let init = |settings: telemetry::Settings| {
        let telemetry = settings.init(service);
        let meter = telemetry.as_ref().ok().and_then(Telemetry::meter);
        // After the log, which has its failure, and before anything is counted.
        metrics::install_with(meter);
        telemetry
    };
    let (telemetry, config) = match configuration(&environment, init, read) {
        Ok(read) => read,
        Err(errors) => return latchkey_config::report(service, &errors, &environment.warnings()),
    };
    for warning in environment.warnings() {
        tracing::warn!(
            variable = warning.name,
            problem = warning.problem,
            "a variable is probably not what was meant"
        );
    }
    let outcome = tokio::select! {
        outcome = serve(config) => outcome,
        error = database::refuse_transaction_pooling(&environment) => Err(error.into()),
    };
    telemetry.flush().await;
    exit_code(service, outcome)
}

/// Carries out a command about the configuration that [`service_main`] reads.
pub fn config_main<C>(
    service: &str,
    command: ConfigCommand,
    read: impl FnOnce(&Environment) -> Result<C, ConfigErrors>,
) -> ExitCode {
    let environment = Environment::of_process();
    let read = configuration(&environment, |_| Ok(()), read);
    command.run(service, &environment, read)
}

/// Reads what every service reads, and then what `read` reads. `init` sets up telemetry before
/// that, so that nothing that is logged or counted meanwhile is lost.
fn configuration<T, C>(
    environment: &Environment,
    init: impl FnOnce(telemetry::Settings) -> Result<T, ConfigError>,
    read: impl FnOnce(&Environment) -> Result<C, ConfigErrors>,
) -> Result<(T, C), ConfigErrors> {
    let settings = telemetry::Settings::from_environment(environment);
    read_all! {
        let telemetry = settings.and_then(|settings| init(settings).map_err(ConfigErrors::from));
        let () = trust::check(environment);
        let () = outgoing_proxy::check(environment);
        let config = read(environment);
    }
    Ok((telemetry, config))
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
    if let StartError::Config(errors) = error {
        return latchkey_config::report(service, errors, &[]);
    }
    // If standard error is closed, the exit code remains.
    let _ = writeln!(std::io::stderr(), "{service}: {error}");
    ExitCode::FAILURE
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
