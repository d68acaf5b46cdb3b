//! The example of a sync worker with the real services: each class of result reaches the channel,
//! and no job is lost.

use std::time::Duration;

use anyhow::Context as _;
use devstack::build::binary;
use devstack::message_recorder::MessageRecorder;
use devstack::walkthrough::revoke_account;
use devstack::{ServiceId, Stack};
use futures::future::try_join_all;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use latchkey_e2e::{EVENT_TIMEOUT, account, eventually, run, sign_in};
use latchkey_messaging::topology::MESSAGING_JOBS_QUEUE;
use latchkey_servers::{Child, ChildSpec};
use nix::sys::signal::Signal;
use uuid::Uuid;

/// The worker as a process.
struct Worker(Child);

impl Worker {
    fn start(stack: &Stack) -> anyhow::Result<Self> {
        let directory = stack.directory();
        let log = directory.join("sync-worker.log");
        let client = stack.client();
        let demo = stack.demo().base_url();
        let mut spec = ChildSpec::new("sync-worker", binary("sync-worker")?, &directory, &log)
            .env("AMQP_URL", stack.servers.rabbitmq.url());
        // A proxy of this machine is not for the servers of the test.
        spec.clear_environment = true;
        for (name, value) in [
            ("--token-service", stack.grpc_url(ServiceId::Refresh(0))?),
            ("--account-service", stack.grpc_url(ServiceId::Sync)?),
            ("--authority", stack.authority().display().to_string()),
            ("--certificate", client.certificate.display().to_string()),
            ("--key", client.key.display().to_string()),
            ("--api", format!("google={demo}/google/userinfo")),
            ("--api", format!("microsoft={demo}/graph/common/userinfo")),
            ("--api", format!("demo={demo}/oidc/userinfo")),
        ] {
            spec = spec.arg(name).arg(value);
        }
        Ok(Self(Child::start(spec)?))
    }

    /// Sends SIGTERM; the worker must end without an error.
    async fn terminate(mut self) -> anyhow::Result<()> {
        self.0.signal(Signal::SIGTERM);
        let status = tokio::time::timeout(EVENT_TIMEOUT, self.0.wait())
            .await
            .context("the worker does not stop")?;
        let status = status.context("no exit status")?;
        anyhow::ensure!(status.success(), "the worker ended with {status}");
        Ok(())
    }
}

/// The message channel of an account.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Channel {
    status: String,
    stage: String,
    cursor: String,
    failures: i32,
    waits: bool,
}

impl Channel {
    async fn of(stack: &Stack, account: Uuid) -> anyhow::Result<Self> {
        let channel = sqlx::query_as(
            "SELECT sync_status::text AS status, sync_stage AS stage, sync_cursor AS cursor,
                    throttle_failure_count AS failures,
                    coalesce(throttle_retry_after > now() + interval '1 minute', false) AS waits
             FROM sync.channel WHERE account_id = $1 AND kind = 'MESSAGE'",
        )
        .bind(account)
        .fetch_one(stack.pool())
        .await?;
        Ok(channel)
    }

    /// Waits for a channel with a status, and a stage if one is given.
    async fn at(
        stack: &Stack,
        account: Uuid,
        status: &str,
        stage: Option<&str>,
    ) -> anyhow::Result<Self> {
        let what = format!("a channel at {status} {}", stage.unwrap_or_default());
        eventually(&what, async || {
            let channel = Self::of(stack, account).await?;
            let is_there =
                channel.status == status && stage.is_none_or(|stage| channel.stage == stage);
            Ok(is_there.then_some(channel))
        })
        .await
    }
}

async fn connected(stack: &Stack, path: &str, provider: &str, who: &str) -> anyhow::Result<Uuid> {
    sign_in(stack, path, &Decision::allow(who)).await?;
    Ok(account(stack, provider, &format!("{who}@acme.example"))
        .await?
        .id)
}

async fn waiting(recorder: &MessageRecorder, jobs: u32) -> anyhow::Result<()> {
    eventually(&format!("{jobs} jobs that wait"), async || {
        let waiting = recorder.waiting_on(MESSAGING_JOBS_QUEUE).await?;
        Ok((waiting == jobs).then_some(()))
    })
    .await
}

async fn publish_what_is_no_job(stack: &Stack) -> anyhow::Result<()> {
    let url = stack.servers.rabbitmq.url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .basic_publish(
            "".into(),
            MESSAGING_JOBS_QUEUE.into(),
            BasicPublishOptions::default(),
            b"\xff\xff",
            BasicProperties::default(),
        )
        .await?
        .await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

// R26, R28, R30: job, token, provider, report, for every class of result.
#[test]
fn the_example_of_a_worker_reports_each_result_and_loses_no_job() -> anyhow::Result<()> {
    run(async {
        // Not a shared stack: the faults of the provider and the queue are this test's.
        let stack = Stack::start(devstack::Options::test()).await?;
        let recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        let synced = connected(&stack, "/auth/google", "google", "ada").await?;
        let revoked = connected(&stack, "/auth/google", "google", "grace").await?;
        let throttled = connected(&stack, "/auth/microsoft", "microsoft", "ada").await?;
        let gone = connected(&stack, "/auth/oidc/demo", "demo", "ada").await?;
        publish_what_is_no_job(&stack).await?;
        waiting(&recorder, 5).await?;
        stack.demo().revoke("grace", Some(Flavour::Google));
        let throttle = Fault::on(Endpoint::Userinfo).of(Flavour::Microsoft);
        let throttle = throttle.answering(429, "{}");
        stack
            .demo()
            .inject(throttle.with_header("Retry-After", "120"));
        revoke_account(&mut stack.tokens(0).await?, gone).await?;
        Channel::at(&stack, gone, "NOT_SYNCED", None).await?;

        let worker = Worker::start(&stack)?;
        let failed = "FAILED_INSUFFICIENT_PERMISSIONS";
        let pending = Some("MESSAGE_LIST_FETCH_PENDING");
        let synced = Channel::at(&stack, synced, "ACTIVE", pending).await?;
        assert!(!synced.cursor.is_empty() && synced.failures == 0);
        Channel::at(&stack, revoked, failed, Some("FAILED")).await?;
        let throttled = eventually("a channel that is throttled", async || {
            let channel = Channel::of(&stack, throttled).await?;
            Ok((channel.failures > 0).then_some(channel))
        })
        .await?;
        // The job is settled; sync-svc publishes another one in two minutes.
        assert_eq!(
            (throttled.status.as_str(), throttled.failures),
            ("ONGOING", 1)
        );
        assert!(throttled.waits, "{throttled:?}");
        assert_eq!(Channel::of(&stack, gone).await?.status, "NOT_SYNCED");

        // A job that has begun ends before the worker does.
        let slow = Fault::on(Endpoint::Userinfo).of(Flavour::Oidc);
        stack.demo().inject(slow.delayed_ms(5_000));
        let last = connected(&stack, "/auth/oidc/demo", "demo", "grace").await?;
        let at_work = Some("MESSAGE_LIST_FETCH_ONGOING");
        Channel::at(&stack, last, "ONGOING", at_work).await?;
        worker.terminate().await?;
        assert_eq!(Channel::of(&stack, last).await?.status, "ACTIVE");
        waiting(&recorder, 0).await
    })
}

// R26: while sync-svc is down the job goes back, and is worked on afterwards.
#[test]
fn a_job_whose_report_is_not_stored_is_delivered_again() -> anyhow::Result<()> {
    run(async {
        let mut stack = Stack::start(devstack::Options::test()).await?;
        let recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        let ways = [("/auth/google", "google"), ("/auth/microsoft", "microsoft")];
        let accounts = ways.map(|(path, provider)| connected(&stack, path, provider, "ada"));
        let accounts = try_join_all(accounts).await?;
        waiting(&recorder, 2).await?;
        stack.service(ServiceId::Sync)?.kill();
        let worker = Worker::start(&stack)?;
        let log = stack.directory().join("sync-worker.log");
        eventually("a job that is tried again", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            Ok(text.contains("the job is tried again").then_some(()))
        })
        .await?;
        stack.service(ServiceId::Sync)?.start().await?;
        for account in accounts {
            Channel::at(&stack, account, "ACTIVE", None).await?;
        }
        tokio::time::timeout(Duration::from_mins(1), worker.terminate()).await??;
        waiting(&recorder, 0).await
    })
}
