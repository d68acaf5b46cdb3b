use std::time::Duration;

use latchkey_providers::FailureClass;

use super::*;

const DOWN: Outcome = Outcome::Failure {
    class: FailureClass::ProviderUnavailable,
    hint: None,
};

fn upstreams(concurrency: u32) -> Upstreams {
    let many = NonZeroU32::new(1000).unwrap();
    Upstreams::new(Limits {
        concurrency,
        rate: many,
        ahead: many,
    })
}

fn named(name: &str) -> ProviderName {
    name.parse().unwrap()
}

async fn fail(upstream: &Arc<Upstream>) {
    let permit = upstream.acquire(AccountHealth::Healthy).await.unwrap();
    permit.record(AccountId::generate(), DOWN, &Jitter::seeded(1));
}

// RF8: the bulkhead.
#[tokio::test]
async fn a_provider_that_takes_all_its_seats_takes_none_of_another() {
    let upstreams = upstreams(2);
    let slow = upstreams.upstream(&named("slow"), None);
    let other = upstreams.upstream(&named("other"), None);
    let _permits = (
        slow.acquire(AccountHealth::Healthy).await.unwrap(),
        slow.acquire(AccountHealth::Healthy).await.unwrap(),
    );
    assert!(other.acquire(AccountHealth::Healthy).await.is_ok());
    let third = tokio::time::timeout(
        Duration::from_millis(50),
        slow.acquire(AccountHealth::Healthy),
    )
    .await;
    assert!(third.is_err(), "a third permit");
}

// RF8: the bulkhead within a provider.
#[tokio::test]
async fn a_slow_tenant_leaves_the_others_half_of_the_permits() {
    let upstreams = upstreams(4);
    let provider = named("microsoft");
    let slow = upstreams.upstream(&provider, Some("slow"));
    let other = upstreams.upstream(&provider, Some("other"));
    let _slow = (
        slow.acquire(AccountHealth::Healthy).await.unwrap(),
        slow.acquire(AccountHealth::Healthy).await.unwrap(),
    );
    let third = tokio::time::timeout(
        Duration::from_millis(50),
        slow.acquire(AccountHealth::Healthy),
    )
    .await;
    assert!(third.is_err(), "a third permit");
    let _others = (
        other.acquire(AccountHealth::Healthy).await.unwrap(),
        other.acquire(AccountHealth::Healthy).await.unwrap(),
    );
}

// RF8: per tenant.
#[tokio::test]
async fn a_tenant_that_fails_opens_no_other_tenants_circuit_breaker() {
    let upstreams = upstreams(9);
    let provider = named("microsoft");
    let failing = upstreams.upstream(&provider, Some("failing"));
    let healthy = upstreams.upstream(&provider, Some("healthy"));
    for _ in 0..3 {
        fail(&failing).await;
    }
    assert!(failing.acquire(AccountHealth::Healthy).await.is_err());
    assert!(healthy.acquire(AccountHealth::Healthy).await.is_ok());
}

// Many tenants with one or two accounts each see one outage.
#[tokio::test]
async fn a_provider_that_fails_for_several_tenants_is_down_for_all() {
    let upstreams = upstreams(9);
    let provider = named("microsoft");
    for tenant in ["a", "b", "c"] {
        fail(&upstreams.upstream(&provider, Some(tenant))).await;
    }
    let fresh = upstreams.upstream(&provider, Some("d"));
    assert_eq!(
        fresh.circuit_open(AccountHealth::Healthy).unwrap().class,
        FailureClass::ProviderUnavailable
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_sent_lets_the_next_one_through() {
    let upstreams = upstreams(9);
    let upstream = upstreams.upstream(&named("google"), None);
    for _ in 0..3 {
        fail(&upstream).await;
    }
    tokio::time::advance(Duration::from_secs(3)).await;
    let probe = upstream.acquire(AccountHealth::Healthy).await.unwrap();
    assert!(upstream.acquire(AccountHealth::Healthy).await.is_err());
    drop(probe);
    assert!(upstream.acquire(AccountHealth::Healthy).await.is_ok());
}

// The search for refreshes ahead runs every two seconds and starts what it finds at
// once; the average rate is REFRESH_AHEAD_RATE.
#[tokio::test]
async fn refreshes_ahead_come_at_their_rate() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let upstreams = Upstreams::new(Limits {
        concurrency: 1_000,
        rate: number(1_000),
        ahead: number(20),
    });
    let upstream = upstreams.upstream(&named("google"), None);
    let allowed = (0..1_000)
        .filter(|_| upstream.allows_refresh_ahead(AccountHealth::Healthy))
        .count();
    let of_one_search = usize::try_from(20 * SEARCH_SECONDS.get()).unwrap();
    assert!(
        (of_one_search..of_one_search + 20).contains(&allowed),
        "{allowed}"
    );
}

#[tokio::test]
async fn a_burst_of_refusals_is_the_clients_until_a_grant_is_served() {
    let upstream = upstreams(9).upstream(&named("google"), None);
    let bursts = (0..20)
        .filter(|_| upstream.record_refused(AccountId::generate()))
        .count();
    assert_eq!(bursts, 10);
    upstream.record_served();
    assert!(!upstream.record_refused(AccountId::generate()));
}

// RF8: a replica that does not get the lease sends no request.
#[tokio::test]
async fn requests_that_were_not_sent_go_to_the_next_within_the_limit_per_second() {
    let three = NonZeroU32::new(3).unwrap();
    let upstreams = Upstreams::new(Limits {
        concurrency: 9,
        rate: three,
        ahead: three,
    });
    let upstream = upstreams.upstream(&named("google"), None);
    // Shorter than the time in which the limit allows another request.
    let three_at_once = || {
        let acquire = || async {
            let acquired = upstream.acquire(AccountHealth::Healthy);
            tokio::time::timeout(Duration::from_millis(300), acquired).await
        };
        async move { tokio::join!(acquire(), acquire(), acquire()) }
    };
    let unused = three_at_once().await;
    let (next, ()) = tokio::join!(three_at_once(), async {
        tokio::task::yield_now().await;
        drop(unused);
    });
    for permit in [next.0, next.1, next.2] {
        let permit = permit.expect("the requests are given back").unwrap();
        permit.record(AccountId::generate(), Outcome::Success, &Jitter::seeded(1));
    }
    let further = three_at_once().await;
    assert!(further.2.is_err(), "the requests were sent");
}
