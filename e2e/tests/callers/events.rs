//! Events, which the caller in TypeScript consumes.

use devstack::Stack;
use devstack::message_recorder::MessageRecorder;
use devstack::walkthrough::Route;
use latchkey_demo_provider::Decision;
use latchkey_e2e::{account, eventually, sign_in};

use crate::caller::Caller;
use crate::run::{Credentials, Run};

/// The queue of the example.
const QUEUE: &str = "example.typescript";
const HANDLE: &str = "grace@acme.example";

/// The caller outlives a restart of the broker, and acknowledges each event.
pub async fn are_consumed(caller: &Caller, stack: &mut Stack) -> anyhow::Result<()> {
    let mut run = Run::start(caller, stack, &Credentials::Allowed, &["events", "2"])?;
    run.wait_for("waiting for account.connected.v1").await?;
    connected(&mut run, stack, Route::GOOGLE).await?;
    stack.servers.rabbitmq.stop();
    stack.servers.rabbitmq.resume().await?;
    connected(&mut run, stack, Route::MICROSOFT).await?;
    run.end().await?.check(0, "waiting", "event ")?;

    let recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
    eventually("an empty queue", async || {
        Ok((recorder.waiting_on(QUEUE).await? == 0).then_some(()))
    })
    .await
}

async fn connected(run: &mut Run, stack: &Stack, route: Route) -> anyhow::Result<()> {
    sign_in(stack, route.path, &Decision::allow("grace")).await?;
    let event = run.wait_for("event ").await?;
    let id = account(stack, route.provider, HANDLE).await?.id;
    let about = format!(": {HANDLE} at {} is account {id}", route.provider);
    anyhow::ensure!(event.ends_with(&about), "{event}, and not {about}");
    Ok(())
}
