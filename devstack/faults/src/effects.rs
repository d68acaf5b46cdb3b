//! How each fault begins and ends.

mod broker;
mod clock;
mod cluster;
mod command_timeout;
mod consumer_timeout;
mod database;
mod failover;
mod messages;
mod network;
mod point;
mod sending;
mod service;

use crate::environment::Environment;
use crate::fault::Fault;

/// Begins a fault.
///
/// # Errors
/// The fault cannot be caused.
pub async fn begin(fault: Fault, environment: &mut Environment) -> anyhow::Result<()> {
    match fault {
        Fault::Killed(target) => service::kill(environment, target)?,
        Fault::Paused(target) => service::pause(environment, target)?,
        Fault::BrokerKilled => broker::kill(environment),
        Fault::BrokerStopped => broker::stop(environment),
        Fault::MemoryAlarm => broker::raise_memory_alarm(environment).await?,
        Fault::BrokerConnectionsClosed => broker::close_connections(environment).await?,
        Fault::QueueDeleted => broker::delete_queue(environment).await?,
        Fault::DiskAlarm => broker::raise_disk_alarm(environment).await?,
        Fault::BrokerConnectionsOfOneClosed(target) => {
            broker::close_connections_of(environment, target).await?;
        }
        Fault::ConsumerTimeout => consumer_timeout::begin(environment).await?,
        Fault::BrokerNodeKilled(node) => cluster::kill(environment, node)?,
        Fault::BrokerNodePaused(node) => cluster::pause(environment, node).await?,
        Fault::BrokerNodeIsolated(node) => cluster::isolate(environment, node).await?,
        Fault::DatabaseKilled => database::kill(environment),
        Fault::DatabaseStopped => database::stop(environment),
        Fault::DatabaseConnectionsTerminated => database::terminate(environment).await?,
        Fault::DatabaseReadOnly => database::set_read_only(environment, true).await?,
        Fault::Network(link, how) => network::begin(environment, link, how)?,
        Fault::BadMessages => messages::publish(environment).await?,
        Fault::DiskFull(volume) => database::fill(environment, volume).await?,
        Fault::Conflicts(conflict) => database::set_conflicts(environment, Some(conflict)).await?,
        Fault::Failover(loss) => failover::lose_primary(environment, loss)?,
        Fault::StandbyKilled => failover::kill_standby(environment)?,
        Fault::Clock(target, how) => clock::set(environment, target, how.seconds())?,
        Fault::At(point, signal) => point::begin(environment, point, signal).await?,
    }
    Ok(())
}

/// Ends a fault. What was stopped runs again.
///
/// # Errors
/// The fault cannot be ended.
pub async fn end(fault: Fault, environment: &mut Environment) -> anyhow::Result<()> {
    match fault {
        Fault::Killed(target) => service::launch(environment, target),
        Fault::Paused(target) => service::resume(environment, target),
        Fault::BrokerKilled | Fault::BrokerStopped => broker::resume(environment).await,
        Fault::MemoryAlarm => broker::end_memory_alarm(environment).await,
        Fault::QueueDeleted => broker::await_queue(environment).await,
        Fault::DiskAlarm => broker::end_disk_alarm(environment).await,
        Fault::ConsumerTimeout => consumer_timeout::end(environment).await,
        Fault::BrokerNodeKilled(node) => cluster::start_again(environment, node).await,
        Fault::BrokerNodePaused(node) => cluster::resume(environment, node).await,
        Fault::BrokerNodeIsolated(node) => cluster::reconnect(environment, node).await,
        Fault::DatabaseKilled | Fault::DatabaseStopped => database::resume(environment).await,
        Fault::DatabaseReadOnly => database::set_read_only(environment, false).await,
        Fault::Network(link, _) => network::end(environment, link),
        Fault::DiskFull(volume) => database::free(environment, volume).await,
        Fault::Conflicts(_) => database::set_conflicts(environment, None).await,
        Fault::Failover(loss) => failover::fail_over(environment, loss).await,
        Fault::StandbyKilled => failover::resume_standby(environment).await,
        Fault::Clock(target, _) => clock::set(environment, target, 0),
        Fault::At(point, signal) => point::end(environment, point, signal),
        Fault::BrokerConnectionsClosed
        | Fault::BrokerConnectionsOfOneClosed(_)
        | Fault::DatabaseConnectionsTerminated
        | Fault::BadMessages => Ok(()),
    }
}
