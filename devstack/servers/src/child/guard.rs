//! A process that outlives its owner by a moment, to end what the owner started.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::Signal;

use crate::ServerError;

/// Waits for the end of its input, which comes when the owner is gone, however
/// it went; then ends the group. A line of input dismisses it.
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

/// Ends a process group when this process is gone, however it went: the system
/// closes the pipe to the guard. A parent-death signal would not do: it is tied
/// to a thread, and reaches no grandchild.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    input: ChildStdin,
}

impl Guard {
    /// Guards the group `group`, which gets `signal` first.
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
            .ok_or_else(|| failed(std::io::Error::other("no pipe to the guard")))?;
        Ok(Self { process, input })
    }

    /// Sends the guard away: there is nothing left to end.
    pub(super) fn dismiss(mut self) {
        let _ = self.input.write_all(b"done\n");
        drop(self.input);
        let _ = self.process.wait();
    }
}
