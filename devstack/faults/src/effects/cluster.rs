//! Faults of RabbitMQ's cluster.

use std::time::Duration;

use anyhow::Context as _;
use devstack::polling::eventually;
use nix::sys::signal::Signal;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::environment::{Environment, answers};
use crate::part::Node;

/// A node stands still for so long at least: the others elect leaders of its queues.
const STANDS_STILL: Duration = Duration::from_secs(6);
/// How long an isolated node may take to notice it and to stop.
const ISOLATED_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the cluster may take until every node sees every other one.
const WHOLE_TIMEOUT: Duration = Duration::from_mins(3);
/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So many looks in a row have to find the same. A node that was away for long stops once more when
/// it notices that, and one that has much to do may not answer once.
const LOOKS: usize = 4;

pub(super) fn kill(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    let node = environment.broker_node(node)?;
    block_in_place(|| node.kill());
    Ok(())
}

pub(super) async fn pause(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    environment.broker_node(node)?.signal(Signal::SIGSTOP);
    sleep(STANDS_STILL).await;
    Ok(())
}

/// Holds every packet between a node and the others. Returns when the node has stopped, because it
/// does not see most of the nodes.
pub(super) async fn isolate(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    let address = environment.broker_node(node)?.address();
    let cluster = environment.stack.servers.rabbitmq_cluster.as_ref();
    let cluster = cluster.context("RabbitMQ is not a cluster")?;
    cluster.isolate(node.index());
    let mut looks = 0;
    eventually(
        ISOLATED_TIMEOUT,
        "the end of an isolated node",
        async || {
            sleep(LOOK_INTERVAL).await;
            looks = if answers(address).await { 0 } else { looks + 1 };
            Ok((looks >= LOOKS).then_some(()))
        },
    )
    .await
}

pub(super) async fn start_again(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    let killed = environment.broker_node(node)?;
    let started = killed.resume().await;
    started.context("a node of RabbitMQ does not start again")?;
    await_whole(environment).await
}

pub(super) async fn resume(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    environment.broker_node(node)?.signal(Signal::SIGCONT);
    await_whole(environment).await
}

pub(super) async fn reconnect(environment: &mut Environment, node: Node) -> anyhow::Result<()> {
    let cluster = environment.stack.servers.rabbitmq_cluster.as_ref();
    let cluster = cluster.context("RabbitMQ is not a cluster")?;
    cluster.reconnect(node.index());
    await_whole(environment).await
}

/// Waits until every node sees every other one.
async fn await_whole(environment: &mut Environment) -> anyhow::Result<()> {
    let mut looks = 0;
    eventually(WHOLE_TIMEOUT, "a whole cluster", async || {
        sleep(LOOK_INTERVAL).await;
        looks += 1;
        for node in Node::ALL {
            if environment.broker_node(node)?.running_nodes().await != Node::ALL.len() {
                looks = 0;
            }
        }
        Ok((looks >= LOOKS).then_some(()))
    })
    .await
}
