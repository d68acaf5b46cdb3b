//! Faults of the network between a service and a server.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::Disturbance;

use crate::environment::Environment;
use crate::fault::NetworkFault;
use crate::part::Link;

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
        NetworkFault::RequestsLost => proxy.disturb(Some(Disturbance::RequestsHeld)),
    }
    Ok(())
}

pub(super) fn end(environment: &mut Environment, link: Link) -> anyhow::Result<()> {
    let proxy = environment.proxy(link).context("there is no such link")?;
    proxy.disturb(None);
    Ok(())
}
