//! A replica as a separate process, for real signals.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::World;

pub struct Process {
    pub grpc: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts the real binary and waits until it serves.
    pub fn start(world: &World) -> Self {
        Self::start_at(world, ([127, 0, 0, 1], 0).into())
    }

    /// Starts it at a given address.
    pub fn start_at(world: &World, grpc: SocketAddr) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_refresh-svc"))
            .env_clear()
            .envs(world.all_variables())
            .env("GRPC_LISTEN", grpc.to_string())
            .env("LOG_FORMAT", "json")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let grpc = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("\"grpc\":\"")?;
                rest.split_once('"')?.0.parse().ok()
            })
            .expect("did not serve");
        // The process would block on a pipe that is not read.
        std::thread::spawn(move || lines.for_each(drop));
        Self { grpc, child }
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        assert!(self.child.wait().unwrap().success());
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
