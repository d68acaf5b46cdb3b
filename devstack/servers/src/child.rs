//! A child process with its own process group, a log file, and a guard that ends it when this
//! process ends.

mod guard;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::ServerError;
use guard::Guard;

/// The signal that ends a child after its owner has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCrash {
    /// SIGTERM, then SIGKILL after five seconds.
    Terminate,
    /// SIGQUIT, PostgreSQL's immediate shutdown, then SIGKILL.
    Quit,
    /// SIGKILL.
    Kill,
}

impl OnCrash {
    fn signal(self) -> Signal {
        match self {
            Self::Terminate => Signal::SIGTERM,
            Self::Quit => Signal::SIGQUIT,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

/// How a child is started.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Name of the child in messages.
    pub name: String,
    /// Path or name of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<OsString>,
    /// Environment variables in addition to the inherited ones.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether only `PATH` and `LANG` are inherited.
    pub clear_environment: bool,
    /// Working directory of the child.
    pub directory: PathBuf,
    /// File to which its output is appended; the terminal if absent.
    pub log: Option<PathBuf>,
    /// Standard output instead of the log. This process closes it once the child runs, so that
    /// a reader sees the end of the output.
    pub stdout: Option<Arc<OwnedFd>>,
    /// Standard error instead of the log.
    pub stderr: Option<Arc<OwnedFd>>,
    /// User and group id of the child.
    pub user: Option<(u32, u32)>,
    /// The signal for the child if this process crashes.
    pub on_crash: OnCrash,
}

impl ChildSpec {
    /// Describes a child with the inherited environment and its output in `log`.
    pub fn new(name: &str, program: impl Into<PathBuf>, directory: &Path, log: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            clear_environment: false,
            directory: directory.to_owned(),
            log: Some(log.to_owned()),
            stdout: None,
            stderr: None,
            user: None,
            on_crash: OnCrash::Terminate,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn command(&self) -> Result<Command, ServerError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory);
        if self.clear_environment {
            command.env_clear();
            for name in ["PATH", "LANG"] {
                if let Some(value) = std::env::var_os(name) {
                    command.env(name, value);
                }
            }
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(log) = &self.log {
            let file = File::options()
                .create(true)
                .append(true)
                .open(log)
                .map_err(ServerError::file(log))?;
            let copy = file.try_clone().map_err(ServerError::file(log))?;
            command.stdout(file).stderr(copy);
        }
        let copy = |descriptor: &OwnedFd| descriptor.try_clone().map_err(ServerError::file("pipe"));
        if let Some(descriptor) = &self.stdout {
            command.stdout(copy(descriptor)?);
        }
        if let Some(descriptor) = &self.stderr {
            command.stderr(copy(descriptor)?);
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        Ok(command)
    }
}

/// A running child. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct Child {
    spec: ChildSpec,
    process: std::process::Child,
    guard: Option<Guard>,
    /// Length of the log before the start, in bytes: an earlier child may have written it.
    log_start: usize,
}

impl Child {
    /// Starts the child and its guard.
    ///
    /// # Errors
    /// The program or its guard cannot be started.
    pub fn start(mut spec: ChildSpec) -> Result<Self, ServerError> {
        let log = spec.log.as_ref().and_then(|log| log.metadata().ok());
        let log_start = log.map_or(0, |log| usize::try_from(log.len()).unwrap_or(0));
        let process = spec
            .command()?
            .spawn()
            .map_err(|source| ServerError::Spawn {
                program: spec.program.display().to_string(),
                source,
            })?;
        spec.stdout = None;
        spec.stderr = None;
        let mut child = Self {
            spec,
            process,
            guard: None,
            log_start,
        };
        child.guard = Some(Guard::start(child.id(), child.spec.on_crash.signal())?);
        Ok(child)
    }

    /// Process id, which is also the id of its process group.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns how it was started.
    pub fn spec(&self) -> &ChildSpec {
        &self.spec
    }

    /// Returns the exit status if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Sends a signal to the whole process group.
    pub fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }

    /// Sends `signal`, waits at most `timeout`, and then kills the rest of the process group.
    pub fn stop(&mut self, signal: Signal, timeout: Duration) {
        if self.exited().is_none() {
            self.signal(signal);
            let begun = Instant::now();
            while self.exited().is_none() && begun.elapsed() < timeout {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // Members of the group may outlive its leader.
        self.signal(Signal::SIGKILL);
        let _ = self.process.wait();
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }

    /// Waits until the child ends, without blocking the runtime.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => return None,
            }
        }
    }

    /// Polls `ready` until it returns `true`.
    ///
    /// # Errors
    /// The child ends, or `timeout` passes.
    pub async fn wait_until<F, R>(&mut self, timeout: Duration, ready: F) -> Result<(), ServerError>
    where
        F: Fn() -> R,
        R: Future<Output = bool>,
    {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return Err(self.not_ready(format!("ended with {status}")));
            }
            if ready().await {
                return Ok(());
            }
            if begun.elapsed() > timeout {
                return Err(self.not_ready(format!("was not ready after {timeout:?}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn not_ready(&self, problem: String) -> ServerError {
        let log = self.spec.log.clone().unwrap_or_default();
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(text.get(self.log_start..).unwrap_or_default());
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default()
            .join("\n");
        ServerError::NotReady {
            name: self.spec.name.clone(),
            problem,
            log,
            tail,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let (signal, timeout) = match self.spec.on_crash {
            OnCrash::Terminate => (Signal::SIGTERM, Duration::from_secs(5)),
            OnCrash::Quit => (Signal::SIGQUIT, Duration::from_secs(5)),
            OnCrash::Kill => (Signal::SIGKILL, Duration::ZERO),
        };
        self.stop(signal, timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_child_is_gone_with_its_own_children() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let spec = ChildSpec::new("sleeper", "sh", directory.path(), &log)
            .arg("-c")
            .arg("sleep 1000 & echo $!; wait");
        let child = Child::start(spec).unwrap();
        let grandchild = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Ok(id) = text.trim().parse::<i32>() {
                break id;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        drop(child);
        std::thread::sleep(Duration::from_millis(50));
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
}
