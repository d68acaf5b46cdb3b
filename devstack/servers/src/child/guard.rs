//! A process that outlives its owner for a moment and ends what the owner started.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::Signal;

use crate::ServerError;

/// Waits for the end of its input, which the system closes when the owner ends in any way, and
/// then ends the process group. After a line of input it exits without doing so.
const GUARD: &str = r#"
trap '' INT TERM HUP QUIT
read -r dismissed && exit 0
kill -s "$1" -- "-$2" 2>/dev/null || exit 0
tries=0
while kill -s 0 -- "-$2" 2>/dev/null && [ "$tries" -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -s KILL -- "-$2" 2>/dev/null
"#;

/// Ends a process group after this process has ended in any way, because the system then closes
/// the pipe to the guard. A parent-death signal is not enough: it is tied to a thread and does
/// not reach grandchildren.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    input: ChildStdin,
}

impl Guard {
    /// Starts a guard for the process group `group`, which first receives `signal`.
    pub(super) fn start(group: u32, signal: Signal) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Spawn {
            program: "sh".to_owned(),
            source,
        };
        let mut process = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(signal.as_str().trim_start_matches("SIG"))
            .arg(group.to_string())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let input = process
            .stdin
            .take()
            .ok_or_else(|| failed(std::io::Error::other("the guard has no pipe")))?;
        Ok(Self { process, input })
    }

    /// Lets the guard exit without ending anything.
    pub(super) fn dismiss(mut self) {
        let _ = self.input.write_all(b"done\n");
        drop(self.input);
        let _ = self.process.wait();
    }
}
