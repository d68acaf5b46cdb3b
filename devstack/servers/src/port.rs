//! Free ports.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ServerError;
use crate::port_block::PortBlock;

/// Ports that this process has assigned. They may not be bound yet.
static ASSIGNED: Mutex<Assigned> = Mutex::new(Assigned {
    blocks: Vec::new(),
    ports: BTreeSet::new(),
});

/// What this process has assigned, and the blocks that it assigns ports from: no other process
/// of a run assigns a port of them, so two servers never race for one port.
struct Assigned {
    blocks: Vec<PortBlock>,
    ports: BTreeSet<u16>,
}

impl Assigned {
    /// A port of the newest block that is free and was not assigned before.
    fn next(&mut self) -> Option<u16> {
        let block = self.blocks.last()?;
        let port = block.ports().find(|port| {
            !self.ports.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        })?;
        self.ports.insert(port);
        Some(port)
    }
}

/// Returns a port of 127.0.0.1 that was free a moment ago and that neither this process nor
/// another process that uses this function has assigned.
///
/// # Errors
/// No free port was found.
pub fn free_port() -> Result<u16, ServerError> {
    let mut assigned = ASSIGNED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = assigned.next() {
            return Ok(port);
        }
        let block = PortBlock::reserve()?;
        assigned.blocks.push(block);
    }
}

/// Returns `wanted` if it is free, or else any free port.
///
/// # Errors
/// No free port was found.
pub fn port_or_free(wanted: u16) -> Result<u16, ServerError> {
    let mut assigned = ASSIGNED.lock().unwrap_or_else(PoisonError::into_inner);
    let unassigned = !assigned.ports.contains(&wanted);
    if unassigned && TcpListener::bind((Ipv4Addr::UNSPECIFIED, wanted)).is_ok() {
        assigned.ports.insert(wanted);
        return Ok(wanted);
    }
    drop(assigned);
    free_port()
}

/// Maximum number of starts of a server, each with other ports.
const ATTEMPTS: u32 = 5;

/// Runs `start` with `N` free ports. Runs it again with other ports if another process took one
/// of them before the server could bind it.
///
/// # Errors
/// The server does not start, although its ports are free.
pub(crate) async fn with_free_ports<const N: usize, T, F>(
    mut start: impl FnMut([u16; N]) -> F,
) -> Result<T, ServerError>
where
    F: Future<Output = Result<T, ServerError>>,
{
    let mut attempt = 1;
    loop {
        let mut ports = [0; N];
        for port in &mut ports {
            *port = free_port()?;
        }
        let error = match start(ports).await {
            Ok(server) => return Ok(server),
            Err(error) => error,
        };
        // The server has ended, so a port that is bound now belongs to another process. That
        // process may have released it since the server found it taken.
        let taken = found_port_taken(&error) || any_port_is_taken(&ports).await;
        if attempt == ATTEMPTS || !taken {
            return Err(error);
        }
        attempt += 1;
    }
}

/// Returns `true` if the server's log says that a port was taken: in the words of PostgreSQL, of
/// Prometheus, of RabbitMQ's listeners, and of the start of its Erlang node.
fn found_port_taken(error: &ServerError) -> bool {
    let ServerError::NotReady { tail, .. } = error else {
        return false;
    };
    [
        "Address already in use",
        "address already in use",
        "eaddrinuse",
        "could_not_start_listener",
        "dist_port_already_used",
    ]
    .iter()
    .any(|words| tail.contains(words))
}

/// How often, and at which interval, a port is probed before it counts as taken. Between `fork`
/// and `exec`, a new process holds the sockets of its parent and with them, for a moment, a
/// port that the parent has released.
const PROBES: u32 = 20;
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// Returns `true` if another process keeps one of the ports.
async fn any_port_is_taken(ports: &[u16]) -> bool {
    for _ in 0..PROBES {
        if ports
            .iter()
            .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        {
            return false;
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn refusal() -> ServerError {
        refusal_with("")
    }

    fn refusal_with(tail: &str) -> ServerError {
        ServerError::NotReady {
            name: "server".to_owned(),
            problem: "ended".to_owned(),
            log: "log".into(),
            tail: tail.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_server_whose_port_was_taken_for_a_moment_starts_again() {
        let starts = AtomicU32::new(0);
        let started = with_free_ports(|[port]: [u16; 1]| {
            let first = starts.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    let words = "{dist_port_already_used,19524,not_erlang,\"localhost\"}";
                    return Err(refusal_with(words));
                }
                Ok(port)
            }
        })
        .await;
        assert!(started.is_ok());
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_server_that_loses_its_port_starts_again_with_another() {
        let other = std::cell::RefCell::new(None);
        let started = with_free_ports(|[port]: [u16; 1]| {
            let lost = other.borrow().is_none();
            if lost {
                *other.borrow_mut() = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            }
            async move { if lost { Err(refusal()) } else { Ok(port) } }
        })
        .await;
        let taken = other.take().and_then(|other| other.local_addr().ok());
        assert!(matches!((started, taken), (Ok(port), Some(taken)) if port != taken.port()));
    }

    #[tokio::test]
    async fn a_port_that_a_starting_process_holds_for_a_moment_is_not_lost() {
        let tries = AtomicU32::new(0);
        let started: Result<(), _> = with_free_ports(|[port]: [u16; 1]| {
            tries.fetch_add(1, Ordering::Relaxed);
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            tokio::spawn(async move {
                tokio::time::sleep(PROBE_INTERVAL).await;
                drop(held);
            });
            async { Err(refusal()) }
        })
        .await;
        assert!(started.is_err());
        assert_eq!(tries.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_server_that_fails_by_itself_is_not_started_again() {
        let tries = AtomicU32::new(0);
        let started: Result<(), _> = with_free_ports(|[_]: [u16; 1]| {
            tries.fetch_add(1, Ordering::Relaxed);
            async { Err(refusal()) }
        })
        .await;
        assert!(started.is_err());
        assert_eq!(tries.into_inner(), 1);
    }
}
