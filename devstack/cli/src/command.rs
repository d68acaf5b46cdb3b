//! The end of a command: its exit code, its error, and the signals that interrupt it.

use std::process::ExitCode;

use latchkey_servers::print_message;
use tokio::signal::unix::{SignalKind, signal};

/// Carries out the command `name` until it ends or a signal arrives, and returns the exit code of
/// the process. An error is printed.
pub async fn carry_out(name: &str, command: impl Future<Output = anyhow::Result<i32>>) -> ExitCode {
    let outcome = tokio::select! {
        outcome = command => outcome,
        // Children end when their owners are dropped.
        code = interrupted() => Ok(code),
    };
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            print_message(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGINT, SIGTERM or SIGHUP and returns the exit code of that signal.
async fn interrupted() -> i32 {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 130,
        () = wait(SignalKind::terminate()) => 143,
        () = wait(SignalKind::hangup()) => 129,
    }
}
