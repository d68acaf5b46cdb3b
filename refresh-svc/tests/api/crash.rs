//! The holder of a lease is a separate process, killed before, during and after the
//! provider's answer.

use std::time::{Duration, Instant};

use latchkey_demo_provider::{Endpoint, Fault, Flavour};

use crate::support::{Account, Client, Process, Refusal, World, eventually, refusal};

const LEASE: Duration = Duration::from_secs(5);

async fn world() -> World {
    World::new()
        .await
        .with("REFRESH_LEASE", "5s")
        .with("REFRESH_PROVIDER_DEADLINE", "3s")
        .with("REFRESH_TIME_TO_STORE", "1s")
}

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The provider has received the request and has not handled it.
    Before,
    /// The provider has issued tokens, and its answer is being sent.
    During,
    /// The answer has arrived and is not stored.
    After,
}

/// Asks a process, kills it, and asks another one.
async fn killed(
    world: &World,
    at: At,
    flavour: Flavour,
) -> (Account, Result<i64, Refusal>, Duration) {
    let holder = Process::start(world);
    let next = Process::start(world);
    let account = world.expired(flavour).await;
    let before = world.demo.refreshes(flavour);
    let fault = Fault::on(Endpoint::Token).of_grant("refresh_token");
    match at {
        At::Before => world.demo.inject(fault.delayed_ms(2_500).reset()),
        At::During => world
            .demo
            .inject(fault.after_work().delayed_ms(2_500).reset()),
        At::After => world.demo.inject(fault.delayed_ms(800)),
    }
    let client = Client::connect(holder.grpc, &world.certificates).await;
    // Lets the lease be acquired and delays the storing.
    let mut lock = None;
    let asking = tokio::spawn({
        let (client, id) = (client.clone(), account.id);
        async move { client.get(id).await }
    });
    if at == At::After {
        eventually(async || (world.demo.refreshes(flavour) > before).then_some(())).await;
        let mut transaction = world.pool().begin().await.unwrap();
        sqlx::query("SELECT FROM vault.credential WHERE account_id = $1 FOR UPDATE")
            .bind(account.id.as_uuid())
            .execute(&mut *transaction)
            .await
            .unwrap();
        lock = Some(transaction);
        // The answer has arrived, and the row is locked.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    } else {
        eventually(async || (world.demo.refreshes(flavour) > before).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    holder.kill();
    assert!(asking.await.unwrap().is_err());
    if let Some(lock) = lock {
        // A statement that has reached the database would still be executed.
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .execute(world.pool())
        .await
        .unwrap();
        lock.rollback().await.unwrap();
    }
    let client = Client::connect(next.grpc, &world.certificates).await;
    let begun = Instant::now();
    let answer = client.get(account.id).await;
    let took = begun.elapsed();
    let answer = match answer {
        Ok(token) => Ok(token.version),
        error => Err(refusal(error)),
    };
    (account, answer, took)
}

// R33, RF3, RF5, RF10.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_costs_at_most_one_lease_and_no_grant_without_strict_rotation() {
    let world = world().await;
    for at in [At::Before, At::During, At::After] {
        for flavour in [Flavour::Google, Flavour::Microsoft] {
            let before = world.demo.refreshes(flavour);
            let (account, answer, took) = killed(&world, at, flavour).await;
            assert_eq!(answer, Ok(2), "{at:?} {flavour:?}");
            assert!(took < 2 * LEASE, "{at:?}: {took:?}");
            assert_eq!(world.demo.refreshes(flavour) - before, 2, "{at:?}");
            let stored = world.stored_refresh_token(&account).await;
            assert!(world.demo.refresh_token_works(&stored), "{at:?}");
        }
    }
}

// The window of a strict provider lasts from its issuing to our storing. Before it
// nothing is lost; within it the loss is published once.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_provider_loses_only_what_it_had_issued_and_the_loss_is_published() {
    let world = world().await;
    let (_, answer, _) = killed(&world, At::Before, Flavour::Oidc).await;
    assert_eq!(answer, Ok(2));
    assert!(world.reauth_events().await.is_empty());
    for (number, at) in [At::During, At::After].into_iter().enumerate() {
        let (_, answer, took) = killed(&world, at, Flavour::Oidc).await;
        assert_eq!(answer.unwrap_err().reason, "ROTATION_LOST", "{at:?}");
        assert!(took < 2 * LEASE, "{at:?}: {took:?}");
        let events = world.reauth_events().await.len();
        assert_eq!(events, number + 1, "{at:?}");
    }
}

// R33: after the storing nothing is requested again.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_after_storing_costs_nothing() {
    let world = world().await;
    for flavour in Flavour::ALL {
        let (holder, next) = (Process::start(&world), Process::start(&world));
        let account = world.expired(flavour).await;
        let client = Client::connect(holder.grpc, &world.certificates).await;
        client.get(account.id).await.unwrap();
        holder.kill();
        let client = Client::connect(next.grpc, &world.certificates).await;
        assert_eq!(client.get(account.id).await.unwrap().version, 2);
        assert_eq!(world.demo.refreshes(flavour), 1);
    }
}
