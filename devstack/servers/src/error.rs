//! Errors of private servers.

use std::path::PathBuf;

/// Why a private server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A program is missing, and this process cannot install it.
    #[error(
        "{what} is not installed: run `apt-get install -y --no-install-recommends {package}` as root"
    )]
    Missing {
        /// The program.
        what: &'static str,
        /// The Debian packages with the program.
        package: &'static str,
    },
    /// A file or directory cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A helper program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program.
        program: String,
        /// The error output of the program.
        output: String,
    },
    /// A server ended or was not ready in time.
    #[error("{name} {problem}; the end of {log}:\n{tail}")]
    NotReady {
        /// Name of the server.
        name: String,
        /// What happened to it.
        problem: String,
        /// Path of its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// PostgreSQL cannot run as root, and no other user was found.
    #[error("PostgreSQL does not run as root, and neither a user `postgres` nor `nobody` exists")]
    NoUser,
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A request to the management API failed.
    #[error("the request to RabbitMQ's management API failed: {0}")]
    Api(#[from] reqwest::Error),
}

impl ServerError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
