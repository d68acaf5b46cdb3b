//! Faults of the services.

use nix::sys::signal::Signal;

use crate::environment::Environment;
use crate::part::Target;

pub(super) fn kill(environment: &mut Environment, target: Target) -> anyhow::Result<()> {
    environment.stack.service(target.id())?.kill();
    Ok(())
}

pub(super) fn launch(environment: &mut Environment, target: Target) -> anyhow::Result<()> {
    environment.stack.service(target.id())?.launch()
}

pub(super) fn pause(environment: &mut Environment, target: Target) -> anyhow::Result<()> {
    let service = environment.stack.service(target.id())?;
    service.signal(Signal::SIGSTOP);
    Ok(())
}

pub(super) fn resume(environment: &mut Environment, target: Target) -> anyhow::Result<()> {
    let service = environment.stack.service(target.id())?;
    service.signal(Signal::SIGCONT);
    Ok(())
}
