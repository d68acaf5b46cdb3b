//! Why a server does not run.

use std::path::PathBuf;

/// Why a private server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A program is missing and could not be installed here.
    #[error(
        "{what} is not installed: run `apt-get install -y --no-install-recommends {package}` as root"
    )]
    Missing {
        /// The program.
        what: &'static str,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// A file or directory of the run.
    #[error("{path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The system's refusal.
        source: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The system's refusal.
        source: std::io::Error,
    },
    /// A helper program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program.
        program: String,
        /// What it printed.
        output: String,
    },
    /// A server ended or was not ready in time.
    #[error("{name} {problem}; the end of {log}:\n{tail}")]
    NotReady {
        /// The server.
        name: String,
        /// What happened.
        problem: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// No user to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and neither a user `postgres` nor `nobody` exists")]
    NoUser,
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The management API could not be asked.
    #[error("RabbitMQ's management API: {0}")]
    Api(#[from] reqwest::Error),
}

impl ServerError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
