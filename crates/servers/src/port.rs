//! Free ports.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::ServerError;

/// Below the range that Linux gives to outgoing connections: a server that is
/// stopped for a while finds its port free when it comes back.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// Ports that this process has given out and that may not be bound yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 that was free a moment ago and that this process has
/// not given out before.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, ServerError> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        // Random, so that runs at the same time seldom try the same.
        let (_, random, _, _) = Uuid::new_v4().as_fields();
        let port = FIRST + random % COUNT;
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(ServerError::File {
        path: "127.0.0.1".into(),
        source: std::io::Error::other("no free port"),
    })
}

/// `wanted` where it is free, else any free port.
///
/// # Errors
/// The system has none.
pub fn port_or_free(wanted: u16) -> Result<u16, ServerError> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !given.contains(&wanted) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, wanted)).is_ok() {
        given.insert(wanted);
        return Ok(wanted);
    }
    drop(given);
    free_port()
}
