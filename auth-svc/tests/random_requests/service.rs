//! The service as a separate process.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Counts of problems in the log of the service.
#[derive(Default)]
struct Seen {
    panics: AtomicUsize,
    pool_timeouts: AtomicUsize,
}

/// The running service. It is killed when it is dropped.
pub struct Service {
    pub address: String,
    child: Child,
    seen: Arc<Seen>,
    readers: [JoinHandle<()>; 2],
}

impl Service {
    /// Starts the service and waits until it listens.
    pub async fn start(variables: BTreeMap<String, String>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_auth-svc"))
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let seen = Arc::<Seen>::default();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let of_errors = tokio::spawn(read(errors, seen.clone()));
        let address = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("stopped before it listened"));
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "listening" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        let readers = [tokio::spawn(read(lines, seen.clone())), of_errors];
        Self {
            address,
            child,
            seen,
            readers,
        }
    }

    /// Returns the anonymous resident memory of the process, in kB.
    pub fn resident(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.unwrap().parse().unwrap()
    }

    /// Kills the service, panics if a handler panicked, and returns how often a wait for a
    /// database connection timed out.
    pub async fn stop(mut self) -> usize {
        self.child.kill().await.unwrap();
        for reader in self.readers {
            reader.await.unwrap();
        }
        assert_eq!(
            self.seen.panics.load(Ordering::SeqCst),
            0,
            "a handler panicked"
        );
        self.seen.pool_timeouts.load(Ordering::SeqCst)
    }
}

/// Reads the log, and prints and counts panics and pool timeouts.
async fn read<R: AsyncRead + Unpin>(mut lines: Lines<BufReader<R>>, seen: Arc<Seen>) {
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("panicked at") {
            seen.panics.fetch_add(1, Ordering::SeqCst);
            println!("{line}");
        }
        if line.contains("pool timed out") {
            seen.pool_timeouts.fetch_add(1, Ordering::SeqCst);
            println!("{line}");
        }
    }
}
