//! An example of a sync worker, as a service of your own would be: it consumes the jobs of first
//! syncs, asks refresh-svc for a token, calls the provider's API with it, and reports the progress
//! to sync-svc.
//!
//! ```text
//! latchkey.jobs.messaging ─ SyncJob ─▶ sync-worker ─ token ─▶ refresh-svc
//!                                          │  ▲──── data ──── provider's API
//!                                          └─ ReportSync ──▶ sync-svc
//! ```
//!
//! `README.md` says how to run it, and what to replace. It uses no internal crate of Latchkey: the
//! contract is RabbitMQ, the messages of `proto/`, and `latchkey-client`.

mod arguments;
mod failure;
mod provider;
mod reports;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use latchkey_proto::events::SyncJob;
use prost::Message as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;
use crate::worker::{Outcome, Worker};

/// Time for the jobs that have begun when the worker is asked to stop. Whoever stops it must wait
/// longer before they kill it.
const DRAIN: Duration = Duration::from_secs(50);
/// Pause before a job whose report could not be delivered goes back into the queue.
const BEFORE_AGAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // Used by every connection with TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let worker = Arc::new(Worker::new(&arguments)?);
    consume(&arguments, worker).await
}

/// Consumes jobs until SIGTERM or SIGINT. If the broker closes the connection, this is an error:
/// the process ends and is started again by whoever runs it, and the broker delivers the jobs that
/// were not acknowledged to another worker.
async fn consume(arguments: &Arguments, worker: Arc<Worker>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let connection = Connection::connect(&arguments.amqp_url, ConnectionProperties::default())
        .await
        .context("cannot connect to the broker")?;
    let channel = connection.create_channel().await?;
    // The broker delivers no more than this before the worker has acknowledged some.
    channel
        .basic_qos(arguments.jobs_at_once, BasicQosOptions::default())
        .await?;
    let mut jobs = channel
        .basic_consume(
            arguments.queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .context("is sync-svc running? It declares the queue")?;
    tracing::info!(queue = arguments.queue, "waiting for jobs");

    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(ended) = running.join_next() => ended??,
            delivery = jobs.next() => {
                let delivery = delivery.context("the broker closed the connection")??;
                running.spawn(handle(Arc::clone(&worker), delivery));
            }
        }
    }
    tracing::info!(running = running.len(), "stopping: no further jobs");
    channel
        .basic_cancel(jobs.tag(), BasicCancelOptions::default())
        .await?;
    let drained = timeout(DRAIN, async {
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    });
    if let Ok(ended) = drained.await {
        ended?;
    } else {
        tracing::warn!(running = running.len(), "jobs did not end in time");
    }
    // What was not acknowledged returns to the queue.
    connection.close(200, "stopped".into()).await?;
    Ok(())
}

/// Works on one delivery and settles it.
async fn handle(worker: Arc<Worker>, delivery: Delivery) -> Result<(), lapin::Error> {
    let acker = &delivery.acker;
    let Ok(job) = SyncJob::decode(delivery.data.as_slice()) else {
        // It would be malformed at each delivery.
        tracing::error!("not a SyncJob: dropped");
        let drop_it = BasicRejectOptions { requeue: false };
        return acker.reject(drop_it).await.map(drop);
    };
    match worker.work(&job).await {
        // After the last report was stored, never before.
        Outcome::Settled => acker.ack(BasicAckOptions::default()).await.map(drop),
        Outcome::Again => {
            sleep(BEFORE_AGAIN).await;
            let requeue = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            acker.nack(requeue).await.map(drop)
        }
    }
}
