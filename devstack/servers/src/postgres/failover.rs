//! What a fail-over and the return of the old primary need.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Postgres, unprivileged_user};
use crate::ServerError;
use crate::command::run_to_end;

/// `pg_rewind` needs to know which pages changed, and the write-ahead log since the servers parted.
/// It starts the server without the arguments of the command line, so the file has the settings.
const REWINDABLE: &str = "wal_log_hints = on\nwal_keep_size = 512MB\n";

impl Postgres {
    /// Restarts the server so that it, and each standby that is copied from it later, can follow
    /// another server after a fail-over ([`Postgres::rewind`]).
    ///
    /// # Errors
    /// A file cannot be written, or the server does not start again.
    pub async fn allow_rewind(&mut self) -> Result<(), ServerError> {
        self.stop();
        let file = self.data.join("postgresql.conf");
        fs::File::options()
            .append(true)
            .open(&file)
            .and_then(|mut opened| opened.write_all(REWINDABLE.as_bytes()))
            .map_err(ServerError::file(&file))?;
        self.set("full_page_writes=on");
        self.resume().await
    }

    /// Makes a server that was the primary, and does not run, a standby of the one that was
    /// promoted. What it committed after they parted is undone. [`Postgres::resume`] starts it.
    ///
    /// # Errors
    /// The server still runs, or has no common history with the primary.
    pub fn rewind(&self, primary: &Self) -> Result<(), ServerError> {
        let source = format!(
            "host=127.0.0.1 port={} user=postgres password={} dbname=postgres",
            primary.port, primary.password
        );
        let mut rewind = Command::new(self.programs.join("pg_rewind"));
        rewind
            .args(["--write-recovery-conf", "--no-sync", "--target-pgdata"])
            .arg(&self.data)
            .arg(format!("--source-server={source}"))
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some((uid, gid)) = unprivileged_user()? {
            rewind.uid(uid).gid(gid);
        }
        run_to_end("pg_rewind", &mut rewind)
    }

    /// Stops every process of the server with SIGSTOP, as a machine does that stands still.
    pub fn pause(&self) {
        self.signal_each(Signal::SIGSTOP);
    }

    /// Ends [`Postgres::pause`]. The server goes on as if no time had passed.
    pub fn unpause(&self) {
        self.signal_each(Signal::SIGCONT);
    }

    /// Sends a signal to the postmaster and then to its children, each of which has a process group
    /// of its own.
    fn signal_each(&self, signal: Signal) {
        let Some(id) = self.process_id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        let _ = kill(Pid::from_raw(id), signal);
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            if let Ok(child) = child.parse() {
                let _ = kill(Pid::from_raw(child), signal);
            }
        }
    }
}
