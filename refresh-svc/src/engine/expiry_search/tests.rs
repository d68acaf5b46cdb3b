use latchkey_domain::{AccessToken, ManualClock};
use time::macros::datetime;

use super::*;
use crate::upstream::Upstream;

const HOUR: Duration = Duration::from_hours(1);
/// Longer than the time between two refreshes that the pace of one account allows.
const LONG: Duration = Duration::from_hours(2);

struct World {
    cache: Cache,
    running: SingleFlight,
    clock: ManualClock,
    upstream: Arc<Upstream>,
}

impl World {
    fn new() -> Self {
        Self {
            cache: Cache::new(100, Duration::from_secs(5)),
            running: SingleFlight::default(),
            clock: ManualClock::new(datetime!(2026-11-29 12:00 UTC)),
            upstream: Upstream::for_google(),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            cache: &self.cache,
            running: &self.running,
            in_use_for: Duration::from_mins(15),
        }
    }

    /// Caches a token of an account that is requested now.
    fn cached(&self, account: AccountId, version: i64, life: Duration, left: Duration) {
        let token = HeldToken {
            token: AccessToken::new("token".to_owned()),
            expires_at: self.clock.now() + left,
            life,
            soft_margin: life / 12,
        };
        let snapshot = Arc::new(Snapshot {
            account,
            version,
            ..Snapshot::with_token(token, &self.upstream)
        });
        snapshot.last_used.touch(self.clock.now());
        self.cache.insert(&snapshot);
    }

    async fn listed(&self, search: &mut ExpirySearch) -> Range<OffsetDateTime> {
        let listing = Listing::of(self.view(), &self.clock).await;
        let used = listing.used.clone();
        search.replace_listing(listing);
        used
    }

    fn due(&self, search: &mut ExpirySearch) -> Vec<AccountId> {
        let due = search.due(self.view(), self.clock.now(), LONG);
        due.iter().map(|snapshot| snapshot.account).collect()
    }
}

#[tokio::test]
async fn a_listed_token_is_due_when_its_time_has_come_and_until_there_is_a_new_one() {
    let world = World::new();
    let account = AccountId::generate();
    // It may be refreshed with 24 to 15 minutes left.
    world.cached(account, 1, HOUR, Duration::from_mins(25));
    let mut search = ExpirySearch::default();
    world.listed(&mut search).await;
    assert_eq!(world.due(&mut search), []);
    world.clock.advance(Duration::from_mins(10));
    world.listed(&mut search).await;
    assert_eq!(world.due(&mut search), [account]);
    // The refresh failed, or was not allowed.
    assert_eq!(world.due(&mut search), [account]);
    world.cached(account, 2, HOUR, HOUR);
    assert_eq!(world.due(&mut search), []);
}

#[tokio::test]
async fn a_token_whose_time_comes_before_the_next_listing_is_in_this_one() {
    let world = World::new();
    let account = AccountId::generate();
    let left = early_margin(account, 1, HOUR) + LISTED_FOR;
    world.cached(account, 1, HOUR, left);
    let mut search = ExpirySearch::default();
    world.listed(&mut search).await;
    world.clock.advance(LISTED_FOR);
    assert_eq!(world.due(&mut search), [account]);
}

#[tokio::test]
async fn a_new_short_lived_token_is_due_without_another_listing() {
    let world = World::new();
    let account = AccountId::generate();
    let life = Duration::from_secs(30);
    world.cached(account, 1, life, Duration::from_secs(5));
    let mut search = ExpirySearch::default();
    world.listed(&mut search).await;
    assert_eq!(world.due(&mut search), [account]);
    world.cached(account, 2, life, life);
    assert_eq!(world.due(&mut search), []);
    world.clock.advance(Duration::from_secs(25));
    assert_eq!(world.due(&mut search), [account]);
}

#[tokio::test]
async fn an_account_that_is_not_in_use_is_not_due() {
    let world = World::new();
    world.cached(AccountId::generate(), 1, HOUR, Duration::from_mins(40));
    world.clock.advance(Duration::from_mins(30));
    let mut search = ExpirySearch::default();
    let used = world.listed(&mut search).await;
    assert_eq!(world.due(&mut search), []);
    assert!(used.is_empty());
}

#[tokio::test]
async fn a_listing_is_used_for_a_part_of_the_shortest_life_and_not_after_the_clock_was_set_back() {
    let world = World::new();
    let mut search = ExpirySearch::default();
    world.cached(AccountId::generate(), 1, HOUR, HOUR);
    let began = world.clock.now();
    let used = world.listed(&mut search).await;
    assert_eq!(used, began..began + LISTED_FOR);
    assert!(!used.contains(&(began - Duration::from_secs(1))));
    world.cached(
        AccountId::generate(),
        1,
        Duration::from_mins(5),
        Duration::from_mins(5),
    );
    let used = world.listed(&mut search).await;
    assert_eq!(used, began..began + Duration::from_secs(15));
}
