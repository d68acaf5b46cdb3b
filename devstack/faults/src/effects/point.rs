//! Faults of a service at a named point.

use std::time::Duration;

use devstack::Stack;
use latchkey_demo_provider::Flavour;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::environment::Environment;
use crate::history::{Moment, Reached};
use crate::point::{Point, PointSignal};
use crate::point_watch::Held;

/// How long a point is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until the service reaches the point, and sends the signal while the next step is held
/// back. Nothing happens if the point is not reached in time.
pub(super) async fn begin(
    environment: &mut Environment,
    point: Point,
    signal: PointSignal,
) -> anyhow::Result<()> {
    let reached = if point == Point::RequestSent {
        timeout(TIMEOUT, refresh_handled(&environment.stack)).await
    } else {
        let reached = environment.points.arm(point);
        timeout(TIMEOUT, async { reached.await.ok() }).await
    };
    environment.points.disarm();
    let Ok(Some((reached, held))) = reached else {
        return Ok(());
    };
    let service = environment.stack.service(point.service().id())?;
    match signal {
        PointSignal::Kill => {
            service.kill();
            // What is held is lost with the process.
            drop(held);
        }
        PointSignal::Stop => {
            service.signal(Signal::SIGSTOP);
            environment.held = Some(held);
        }
    }
    environment.reached = Some(reached);
    Ok(())
}

/// Lets the service run again if the point was reached.
pub(super) fn end(
    environment: &mut Environment,
    point: Point,
    signal: PointSignal,
) -> anyhow::Result<()> {
    if environment.reached.take().is_none() {
        return Ok(());
    }
    let service = environment.stack.service(point.service().id())?;
    match signal {
        PointSignal::Kill => service.launch(),
        PointSignal::Stop => {
            service.signal(Signal::SIGCONT);
            if let Some(held) = environment.held.take() {
                // The connection may have ended meanwhile.
                let _ = held.send(());
            }
            Ok(())
        }
    }
}

/// Waits until the strict provider has handled a refresh, and holds its answer.
async fn refresh_handled(stack: &Stack) -> Option<(Reached, Held)> {
    let handled = stack.demo().hold_answer(Flavour::Oidc, "refresh_token");
    let held = handled.await.ok()?;
    let reached = Reached {
        at: Moment::now(),
        account: None,
    };
    Some((reached, held))
}
