//! The output of a program that runs tests.

use std::io::{self, BufRead as _, BufReader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_servers::ChildSpec;
use tokio::sync::oneshot;

/// How long the output may stay open after a program has ended: a process that a test left
/// behind must not delay the table. Servers that a test started end up to five seconds after it.
pub(super) const OUTPUT_TIMEOUT: Duration = Duration::from_secs(10);

/// The output of a program, read by a thread of its own. A blocking task of tokio would keep
/// the runtime from ending while a process that was left behind holds the output open.
pub(super) struct Output<T> {
    collected: Arc<Mutex<T>>,
    end: oneshot::Receiver<()>,
}

impl<T: Default + Send + 'static> Output<T> {
    /// Directs both streams of a program into one pipe, which keeps the name of a test before
    /// its messages. `take` gets each line, with its end, as soon as it is written.
    ///
    /// # Errors
    /// The pipe cannot be made.
    pub fn of(
        spec: &mut ChildSpec,
        collected: T,
        take: impl Fn(&mut T, &[u8]) + Send + 'static,
    ) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let writer = Arc::new(writer.into());
        spec.log = None;
        spec.stdout = Some(Arc::clone(&writer));
        spec.stderr = Some(writer);
        let collected = Arc::new(Mutex::new(collected));
        let shared = Arc::clone(&collected);
        let (ended, end) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(reader);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                take(&mut lock(&shared), &line);
                line.clear();
            }
            // Nobody waits any more after the time-out.
            let _ = ended.send(());
        });
        Ok(Self { collected, end })
    }

    /// Waits until every process has closed the output, and returns what was collected. The
    /// flag is `false` if a process keeps the output open for longer than `limit`.
    pub async fn end(self, limit: Duration) -> (T, bool) {
        let is_closed = tokio::time::timeout(limit, self.end).await.is_ok();
        (std::mem::take(&mut *lock(&self.collected)), is_closed)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use latchkey_servers::Child;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    #[tokio::test]
    async fn output_that_a_process_keeps_open_is_returned_after_the_time_limit() {
        // The new session is not in the process group that ends with the child.
        let script = "exec 3>&1; left=$(setsid sh -c 'echo $$; exec sleep 30 >&3' &); echo $left";
        let mut spec = ChildSpec::new("suite", "sh", Path::new("/"), Path::new(""))
            .arg("-c")
            .arg(script);
        let append = |text: &mut Vec<u8>, line: &[u8]| text.extend_from_slice(line);
        let output = Output::of(&mut spec, Vec::new(), append).unwrap();
        let mut child = Child::start(spec).unwrap();
        child.wait().await;
        drop(child);
        let (text, is_closed) = output.end(Duration::from_millis(500)).await;
        let left = String::from_utf8(text).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
        assert!(!is_closed);
    }
}
