//! Faults of the network between a service and a server.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::Disturbance;
use serde::{Deserialize, Serialize};

use crate::environment::{Environment, Link};

/// What happens to the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFault {
    /// Each packet arrives late.
    Latency,
    /// No packet arrives for a while, in either direction, and no side is told.
    BlackHole,
    /// Requests arrive, and responses do not.
    HalfOpen,
    /// Packets arrive in small pieces.
    SlowDrip,
    /// The packets of the existing connections are lost for ever, and no side is told.
    Lost,
    /// The existing connections are closed.
    Closed,
}

impl NetworkFault {
    /// Every fault of a network.
    pub const ALL: [Self; 6] = [
        Self::Latency,
        Self::BlackHole,
        Self::HalfOpen,
        Self::SlowDrip,
        Self::Lost,
        Self::Closed,
    ];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::BlackHole => "black hole",
            Self::HalfOpen => "half open",
            Self::SlowDrip => "slow drip",
            Self::Lost => "connections are lost silently",
            Self::Closed => "connections are closed",
        }
    }
}

pub(super) fn begin(
    environment: &mut Environment,
    link: Link,
    how: NetworkFault,
) -> anyhow::Result<()> {
    let proxy = environment.proxy(link).context("there is no such link")?;
    match how {
        NetworkFault::Latency => {
            proxy.disturb(Some(Disturbance::Delayed(Duration::from_millis(100))));
        }
        NetworkFault::BlackHole => proxy.disturb(Some(Disturbance::Held)),
        NetworkFault::HalfOpen => proxy.disturb(Some(Disturbance::ResponsesHeld)),
        NetworkFault::SlowDrip => proxy.disturb(Some(Disturbance::Dripping {
            bytes: 64,
            every: Duration::from_millis(20),
        })),
        NetworkFault::Lost => proxy.drop_packets(),
        NetworkFault::Closed => proxy.close_connections(),
    }
    Ok(())
}

pub(super) fn end(environment: &mut Environment, link: Link) -> anyhow::Result<()> {
    let proxy = environment.proxy(link).context("there is no such link")?;
    proxy.disturb(None);
    Ok(())
}
