use std::time::Duration;

use latchkey_providers::FailureClass;

use super::*;

const DOWN: Verdict = Verdict::Sick {
    class: FailureClass::ProviderUnavailable,
    hint: None,
};

fn lanes(concurrency: u32) -> Lanes {
    let many = NonZeroU32::new(1000).unwrap();
    Lanes::new(Limits {
        concurrency,
        rate: many,
        ahead: many,
    })
}

fn named(name: &str) -> ProviderName {
    name.parse().unwrap()
}

async fn fail(lane: &Arc<Lane>) {
    let passage = lane.enter(Standing::Sound).await.unwrap();
    passage.tell(AccountId::generate(), DOWN, &Jitter::seeded(1));
}

// PEERS, strictly better, 8: the bulkhead.
#[tokio::test]
async fn a_provider_that_takes_all_its_seats_takes_none_of_another() {
    let lanes = lanes(2);
    let slow = lanes.lane(&named("slow"), None);
    let other = lanes.lane(&named("other"), None);
    let _seats = (
        slow.enter(Standing::Sound).await.unwrap(),
        slow.enter(Standing::Sound).await.unwrap(),
    );
    assert!(other.enter(Standing::Sound).await.is_ok());
    let third = tokio::time::timeout(Duration::from_millis(50), slow.enter(Standing::Sound)).await;
    assert!(third.is_err(), "a third seat");
}

// PEERS, strictly better, 8: the bulkhead within a provider.
#[tokio::test]
async fn a_slow_tenant_leaves_the_others_half_of_the_seats() {
    let lanes = lanes(4);
    let provider = named("microsoft");
    let slow = lanes.lane(&provider, Some("slow"));
    let other = lanes.lane(&provider, Some("other"));
    let _slow = (
        slow.enter(Standing::Sound).await.unwrap(),
        slow.enter(Standing::Sound).await.unwrap(),
    );
    let third = tokio::time::timeout(Duration::from_millis(50), slow.enter(Standing::Sound)).await;
    assert!(third.is_err(), "a third seat");
    let _others = (
        other.enter(Standing::Sound).await.unwrap(),
        other.enter(Standing::Sound).await.unwrap(),
    );
}

// PEERS, strictly better, 8: per tenant.
#[tokio::test]
async fn a_tenant_that_fails_closes_no_other_tenants_way() {
    let lanes = lanes(9);
    let provider = named("microsoft");
    let sick = lanes.lane(&provider, Some("sick"));
    let well = lanes.lane(&provider, Some("well"));
    for _ in 0..3 {
        fail(&sick).await;
    }
    assert!(sick.enter(Standing::Sound).await.is_err());
    assert!(well.enter(Standing::Sound).await.is_ok());
}

// Many tenants with an account or two each see an outage as one.
#[tokio::test]
async fn a_provider_that_fails_for_several_tenants_is_down_for_all() {
    let lanes = lanes(9);
    let provider = named("microsoft");
    for tenant in ["a", "b", "c"] {
        fail(&lanes.lane(&provider, Some(tenant))).await;
    }
    let fresh = lanes.lane(&provider, Some("d"));
    assert_eq!(
        fresh.shut(Standing::Sound).unwrap().class,
        FailureClass::ProviderUnavailable
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_sent_leaves_the_way_open_for_the_next() {
    let lanes = lanes(9);
    let lane = lanes.lane(&named("google"), None);
    for _ in 0..3 {
        fail(&lane).await;
    }
    tokio::time::advance(Duration::from_secs(3)).await;
    let probe = lane.enter(Standing::Sound).await.unwrap();
    assert!(lane.enter(Standing::Sound).await.is_err());
    drop(probe);
    assert!(lane.enter(Standing::Sound).await.is_ok());
}

// REFRESH_AHEAD_RATE is what it says: what is due is looked for every two seconds, and
// goes out at once.
#[tokio::test]
async fn refreshes_ahead_come_at_their_rate() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let lanes = Lanes::new(Limits {
        concurrency: 1_000,
        rate: number(1_000),
        ahead: number(20),
    });
    let lane = lanes.lane(&named("google"), None);
    let allowed = (0..1_000)
        .filter(|_| lane.allows_ahead(Standing::Sound))
        .count();
    let of_one_look = usize::try_from(20 * BETWEEN_LOOKS.get()).unwrap();
    assert!(
        (of_one_look..of_one_look + 20).contains(&allowed),
        "{allowed}"
    );
}

#[tokio::test]
async fn a_burst_of_refusals_is_the_clients_until_a_grant_is_served() {
    let lane = lanes(9).lane(&named("google"), None);
    let bursts = (0..20)
        .filter(|_| lane.refused(AccountId::generate()))
        .count();
    assert_eq!(bursts, 10);
    lane.served();
    assert!(!lane.refused(AccountId::generate()));
}
