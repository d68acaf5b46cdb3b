//! Failures of servers and services while people use them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::message_recorder::MessageRecorder;
use devstack::walkthrough::{
    Route, account_of, authorize_address, channels_of, get_access_token, refresh_access_token,
};
use devstack::{Options, ServiceId, Stack};
use futures::future::try_join_all;
use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use latchkey_e2e::{account, eventually, run, sign_in};

const HANDLE: &str = "ada@acme.example";

async fn jobs_of(stack: &Stack, account: uuid::Uuid) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM sync.sync_job
         WHERE channel_id IN (SELECT id FROM sync.channel WHERE account_id = $1)",
    )
    .bind(account)
    .fetch_one(stack.pool())
    .await?)
}

// R12
#[test]
fn a_sign_in_succeeds_while_the_broker_is_down_and_the_account_appears_once() -> anyhow::Result<()>
{
    run(async {
        let mut stack = Stack::start(Options::test()).await?;
        let mut browser = Browser::new()?;
        let authorize = authorize_address(&mut browser, &stack, Route::GOOGLE.path).await?;
        let callback = stack
            .demo()
            .decide(authorize.as_str(), &Decision::allow("ada"))
            .await?;

        stack.servers.rabbitmq.stop();
        let begun = Instant::now();
        let landing = browser.get(callback).await?;
        landing.redirect_target().context("the sign-in failed")?;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the broker delayed the sign-in by {:?}",
            begun.elapsed()
        );
        assert!(account_of(stack.pool(), "google", HANDLE).await?.is_empty());

        stack.servers.rabbitmq.resume().await?;
        let account = account(&stack, "google", HANDLE).await?;
        eventually("an empty outbox", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM sync.outbox)",
            )
            .fetch_one(stack.pool())
            .await?;
            Ok((waiting == 0).then_some(()))
        })
        .await?;
        assert_eq!(account_of(stack.pool(), "google", HANDLE).await?.len(), 1);
        assert_eq!(jobs_of(&stack, account.id).await?, 2);
        Ok(())
    })
}

// R33
#[test]
fn five_hundred_callers_over_two_replicas_cause_one_refresh() -> anyhow::Result<()> {
    run(async {
        let stack = Stack::start(Options::test().refresh_replicas(2)).await?;
        // Google keeps the refresh token; Microsoft and the strict provider rotate it.
        for route in [Route::GOOGLE, Route::MICROSOFT, Route::OIDC] {
            storm(&stack, route).await.context(route.provider)?;
        }
        Ok(())
    })
}

async fn storm(stack: &Stack, route: Route) -> anyhow::Result<()> {
    stack
        .demo()
        .change(|settings| settings.access_token_lifetime_s = 2);
    sign_in(stack, route.path, &Decision::allow("ada")).await?;
    let account = account(stack, route.provider, HANDLE).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stack
        .demo()
        .change(|settings| settings.access_token_lifetime_s = 3600);
    // The delay is long enough for every caller to arrive during the refresh.
    stack.demo().inject(Fault {
        delay_ms: 1_000,
        grant_type: Some("refresh_token".to_owned()),
        ..Fault::on(Endpoint::Token)
    });

    let before = stack.demo().refreshes(route.flavour);
    let mut calls = Vec::with_capacity(500);
    for replica in [0, 1] {
        for _ in 0..5 {
            let client = stack.tokens(replica).await?;
            for _ in 0..50 {
                let mut client = client.clone();
                calls.push(async move {
                    get_access_token(&mut client, account.id, Duration::from_mins(1)).await
                });
            }
        }
    }
    let tokens = try_join_all(calls).await?;
    assert_eq!(tokens.len(), 500);
    let different: BTreeSet<&str> = tokens
        .iter()
        .map(|token| token.access_token.as_str())
        .collect();
    assert_eq!(different.len(), 1, "callers got different tokens");
    assert_eq!(stack.demo().refreshes(route.flavour) - before, 1);
    Ok(())
}

// R20, R21
#[test]
fn a_consumer_killed_within_its_transaction_leaves_one_account() -> anyhow::Result<()> {
    run(async {
        let mut stack = Stack::start(Options::test()).await?;
        let mut watcher = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        // Blocks sync-svc in the middle of its transaction.
        let mut gate = stack.pool().begin().await?;
        sqlx::query("LOCK TABLE sync.channel IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *gate)
            .await?;
        sign_in(&stack, "/auth/google", &Decision::allow("ada")).await?;
        eventually("sync-svc at work", async || {
            let held: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_stat_activity
                 WHERE usename = 'sync_svc' AND wait_event_type = 'Lock')",
            )
            .fetch_one(stack.pool())
            .await?;
            Ok(held.then_some(()))
        })
        .await?;

        stack.service(ServiceId::Sync)?.kill();
        gate.rollback().await?;
        assert!(account_of(stack.pool(), "google", HANDLE).await?.is_empty());

        stack.service(ServiceId::Sync)?.start().await?;
        let account = account(&stack, "google", HANDLE).await?;
        let channels = channels_of(stack.pool(), account.id).await?;
        assert_eq!(channels.message.as_deref(), Some("ONGOING"));
        assert_eq!(channels.calendar.as_deref(), Some("ONGOING"));
        for job in ["MessagingMessageListFetchJob", "CalendarEventListFetchJob"] {
            watcher
                .wait_for(job, latchkey_e2e::EVENT_TIMEOUT, |seen| {
                    seen.event_type == job
                })
                .await?;
        }
        assert_eq!(jobs_of(&stack, account.id).await?, 2);
        assert_eq!(account_of(stack.pool(), "google", HANDLE).await?.len(), 1);
        Ok(())
    })
}

// R33
#[test]
fn a_replica_killed_during_a_refresh_does_not_stop_the_other() -> anyhow::Result<()> {
    run(async {
        let mut stack = Stack::start(Options::test().refresh_replicas(2)).await?;
        sign_in(&stack, "/auth/google", &Decision::allow("ada")).await?;
        let account = account(&stack, "google", HANDLE).await?;
        stack.demo().inject(Fault {
            delay_ms: 20_000,
            grant_type: Some("refresh_token".to_owned()),
            ..Fault::on(Endpoint::Token)
        });
        let mut first = stack.tokens(0).await?;
        let stuck =
            tokio::spawn(async move { refresh_access_token(&mut first, account.id, 1).await });
        eventually("the first replica at the provider", async || {
            Ok((stack.demo().refreshes(Flavour::Google) == 1).then_some(()))
        })
        .await?;
        stack.service(ServiceId::Refresh(0))?.kill();
        assert!(stuck.await?.is_err());

        // The lease of the dead replica expires, and then the other replica refreshes.
        let mut second = stack.tokens(1).await?;
        eventually("a token of the other replica", async || {
            let asked = refresh_access_token(&mut second, account.id, 1).await;
            Ok(asked.ok())
        })
        .await?;
        assert_eq!(stack.demo().refreshes(Flavour::Google), 2);
        Ok(())
    })
}

// R12, R15
#[test]
fn a_database_outage_is_reported_and_the_services_recover() -> anyhow::Result<()> {
    run(async {
        let mut stack = Stack::start(Options::test()).await?;
        let mut browser = Browser::new()?;
        let authorize = authorize_address(&mut browser, &stack, Route::GOOGLE.path).await?;
        let callback = stack
            .demo()
            .decide(authorize.as_str(), &Decision::allow("ada"))
            .await?;

        stack.servers.postgres.stop();
        let page = browser.get(callback).await?;
        assert_eq!(page.status, 503, "{}", page.body);
        // A result of the check is returned for a second.
        let ready_url = stack.service(ServiceId::Auth)?.ready_url().to_owned();
        eventually("the service is not ready", async || {
            let ready = browser.get(ready_url.clone()).await?;
            Ok((ready.status == 503).then_some(()))
        })
        .await?;

        stack.servers.postgres.resume().await?;
        sign_in(&stack, "/auth/google", &Decision::allow("grace")).await?;
        let account = account(&stack, "google", "grace@acme.example").await?;
        let mut tokens = stack.tokens(0).await?;
        get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
        Ok(())
    })
}
