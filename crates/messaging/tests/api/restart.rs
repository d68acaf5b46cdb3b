use std::collections::HashSet;
use std::path::Path;

use lapin::options::BasicGetOptions;
use latchkey_domain::{ChannelId, JobId};
use latchkey_messaging::outbox::{Message, Schema, enqueue};
use latchkey_messaging::topology::{self, JobQueue};
use latchkey_proto::events::SyncJob;
use latchkey_servers::{RabbitMq, RunDirectory};
use latchkey_testkit::TestDatabase;

use crate::support::{config, eventually, outbox_rows, relay};

async fn queue_jobs(database: &TestDatabase, generations: std::ops::Range<i32>) -> HashSet<String> {
    let mut transaction = database.pool().begin().await.unwrap();
    let mut ids = HashSet::new();
    for generation in generations {
        for queue in [JobQueue::Messaging, JobQueue::Calendar] {
            let channel = ChannelId::generate();
            let id = JobId::first_of(channel, generation);
            let job = SyncJob {
                job_id: id.to_string(),
                channel_id: channel.to_string(),
                generation,
                ..SyncJob::default()
            };
            enqueue(
                &mut transaction,
                Schema::Sync,
                Message::job(id, queue, &job),
            )
            .await
            .unwrap();
            ids.insert(id.to_string());
        }
    }
    transaction.commit().await.unwrap();
    ids
}

/// The content of the file of a node's quorum queues. RabbitMQ 3.10 writes it shortly after a
/// declaration was confirmed, and a queue that is not in it when the node is killed is lost.
fn names_on_disk(directory: &Path) -> String {
    let mut names = String::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            names += &names_on_disk(&path);
        } else if path.file_name().is_some_and(|name| name == "names.dets") {
            names += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        }
    }
    names
}

/// A broker for this test alone, because the test stops it.
async fn jobs_survive(end: fn(&mut RabbitMq)) {
    let database = TestDatabase::create().await;
    let directory = RunDirectory::create("messaging-restart").unwrap();
    let mut broker = RabbitMq::start(directory.path()).await.unwrap();
    let connection = config(&broker.url()).connect().await.unwrap();
    topology::declare(&connection).await.unwrap();
    let relay = relay(&database, &broker.url());
    let mut ids = queue_jobs(&database, 1..11).await;
    eventually("they are queued", async || {
        outbox_rows(&database).await == 0
    })
    .await;

    eventually("the broker has the queues on its disk", async || {
        let queues = [JobQueue::Messaging, JobQueue::Calendar].map(JobQueue::queue);
        let names = names_on_disk(broker.data_directory());
        queues.iter().all(|queue| names.contains(queue))
    })
    .await;
    end(&mut broker);
    ids.extend(queue_jobs(&database, 11..16).await);
    broker.resume().await.unwrap();
    eventually("the others too", async || outbox_rows(&database).await == 0).await;
    relay.stop().await;

    let connection = config(&broker.url()).connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut found = HashSet::new();
    eventually("a worker gets them all", async || {
        for queue in [JobQueue::Messaging, JobQueue::Calendar] {
            let options = BasicGetOptions { no_ack: true };
            while let Some(message) = channel
                .basic_get(queue.queue().into(), options)
                .await
                .unwrap()
            {
                let job: SyncJob =
                    prost::Message::decode(message.delivery.data.as_slice()).unwrap();
                found.insert(job.job_id);
            }
        }
        found.len() >= ids.len()
    })
    .await;
    assert_eq!(found, ids);
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_survive_a_broker_that_starts_again_and_the_relay_goes_on() {
    jobs_survive(RabbitMq::stop).await;
}

// R26
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_survive_a_broker_that_is_killed_and_the_relay_goes_on() {
    jobs_survive(RabbitMq::kill).await;
}
