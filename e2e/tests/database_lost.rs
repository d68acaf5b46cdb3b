//! R39: the connection to the database is lost without notice, or a failover moves it to
//! another server. All services recover without a restart.
//!
//! Each test prints the time from the repair to the recovery (`-- --nocapture`).

use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::walkthrough::{Route, account_of, get_access_token, refresh_access_token};
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use latchkey_e2e::{eventually, run, sign_in};
use latchkey_servers::RunDirectory;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use uuid::Uuid;

const ADA: &str = "ada@acme.example";
const GRACE: &str = "grace@acme.example";

/// A stack behind a proxy, and a grant of a provider that accepts a refresh token once.
async fn with_a_strict_grant() -> anyhow::Result<(Stack, Uuid)> {
    let stack = Stack::start(Options::test().with_proxy()).await?;
    sign_in(&stack, Route::OIDC.path, &Decision::allow("ada")).await?;
    let account = account(stack.pool(), Route::OIDC.provider, ADA).await?;
    Ok((stack, account))
}

async fn account(database: &PgPool, provider: &str, handle: &str) -> anyhow::Result<Uuid> {
    eventually(&format!("an account of {handle}"), async || {
        let accounts = account_of(database, provider, handle).await?;
        Ok(accounts.first().map(|account| account.id))
    })
    .await
}

/// Starts a refresh whose response the provider delays.
async fn refresh_under_way(
    stack: &Stack,
    account: Uuid,
) -> anyhow::Result<JoinHandle<anyhow::Result<i64>>> {
    stack.demo().inject(Fault {
        delay_ms: 2_000,
        grant_type: Some("refresh_token".to_owned()),
        ..Fault::on(Endpoint::Token)
    });
    let mut client = stack.tokens(0).await?;
    let asking = tokio::spawn(async move {
        let token = refresh_access_token(&mut client, account, 1).await?;
        Ok(token.version)
    });
    eventually("a refresh at the provider", async || {
        Ok((stack.demo().refreshes(Flavour::Oidc) == 1).then_some(()))
    })
    .await?;
    Ok(asking)
}

async fn is_ready(stack: &Stack, part: ServiceId) -> anyhow::Result<bool> {
    let service = stack.services().find(|(one, _)| **one == part);
    let (_, service) = service.context("the stack has no such service")?;
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client.get(service.ready_url()).send().await;
    Ok(answer.is_ok_and(|answer| answer.status().is_success()))
}

const PARTS: [ServiceId; 3] = [ServiceId::Auth, ServiceId::Sync, ServiceId::Refresh(0)];

/// Checks that a new person can sign in and is connected, a token is refreshed, every
/// service is ready, and the running refresh is stored. Returns the time that it took.
async fn everything_goes_on(
    stack: &Stack,
    database: &PgPool,
    account_id: Uuid,
    under_way: JoinHandle<anyhow::Result<i64>>,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    eventually("a sign-in", async || {
        let signed_in = sign_in(stack, Route::GOOGLE.path, &Decision::allow("grace")).await;
        Ok(signed_in.ok())
    })
    .await?;
    let connected = account(database, Route::GOOGLE.provider, GRACE).await?;
    let mut tokens = stack.tokens(0).await?;
    eventually("a token", async || {
        let token = get_access_token(&mut tokens.clone(), connected, Duration::from_mins(1)).await;
        Ok(token.ok())
    })
    .await?;
    eventually("a new token", async || {
        Ok(refresh_access_token(&mut tokens.clone(), connected, 1)
            .await
            .ok())
    })
    .await?;
    for part in PARTS {
        eventually(&format!("{part:?} ready"), async || {
            Ok(is_ready(stack, part).await?.then_some(()))
        })
        .await?;
    }
    let took = begun.elapsed();
    // The running refresh is stored: the provider accepts the next one, and would end a
    // grant whose refresh token is used twice.
    assert_eq!(under_way.await??, 2);
    // Replicas are notified of a change of `retry_after`, and do not answer from the cache.
    sqlx::query(
        "UPDATE vault.credential SET access_token_expires_at = now(), retry_after = now()
         WHERE account_id = $1",
    )
    .bind(account_id)
    .execute(database)
    .await?;
    eventually("the next refresh", async || {
        let token = get_access_token(&mut tokens, account_id, Duration::from_mins(1)).await?;
        Ok((token.version == 3).then_some(()))
    })
    .await?;
    assert_eq!(stack.demo().refreshes(Flavour::Oidc), 2);
    Ok(took)
}

// R31, R37: the network drops the packets of existing connections without notice; new
// connections work.
#[test]
fn dropped_packets_to_the_database_stop_no_service() -> anyhow::Result<()> {
    run(async {
        let (stack, account) = with_a_strict_grant().await?;
        let under_way = refresh_under_way(&stack, account).await?;

        stack.proxy()?.drop_packets();

        let took = everything_goes_on(&stack, stack.pool(), account, under_way).await?;
        eprintln!("dropped packets to the database: recovered after {took:?}");
        Ok(())
    })
}

// R31, R37: a standby takes over, and existing connections lead to a server that is
// read-only.
#[test]
fn a_failover_to_a_standby_stops_no_service_and_loses_no_grant() -> anyhow::Result<()> {
    run(async {
        let (stack, account) = with_a_strict_grant().await?;
        let directory = RunDirectory::create("e2e")?;
        let old = &stack.servers.postgres;
        let standby = old.standby(directory.path()).await?;
        let under_way = refresh_under_way(&stack, account).await?;

        // The old primary becomes read-only after its data is on the standby.
        sqlx::query("ALTER SYSTEM SET default_transaction_read_only = on")
            .execute(stack.pool())
            .await?;
        sqlx::query("SELECT pg_reload_conf()")
            .execute(stack.pool())
            .await?;
        for part in PARTS {
            eventually(&format!("{part:?} not ready"), async || {
                Ok((!is_ready(&stack, part).await?).then_some(()))
            })
            .await?;
        }
        eventually("everything at the standby", async || {
            let behind: bool = sqlx::query_scalar(
                "SELECT pg_current_wal_insert_lsn() <> replay_lsn FROM pg_stat_replication",
            )
            .fetch_one(stack.pool())
            .await?;
            Ok((!behind).then_some(()))
        })
        .await?;
        standby.promote()?;
        stack.proxy()?.set_target(standby.address());

        let database = PgPool::connect(&standby.url("latchkey")).await?;
        let took = everything_goes_on(&stack, &database, account, under_way).await?;
        eprintln!("failover: recovered {took:?} after the promotion");
        Ok(())
    })
}
