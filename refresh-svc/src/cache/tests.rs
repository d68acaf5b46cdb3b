use latchkey_domain::AccessToken;
use time::macros::datetime;

use super::*;
use crate::snapshot::HeldToken;
use crate::upstream::Upstream;

/// Usual length of a token in bytes.
const TOKEN: usize = 1_200;

fn snapshot(cache: &Cache, upstream: &Arc<Upstream>) -> Arc<Snapshot> {
    let scopes = ScopeSet::parse(
        "openid email profile https://www.googleapis.com/auth/gmail.readonly \
         https://www.googleapis.com/auth/gmail.send https://www.googleapis.com/auth/calendar.events",
    );
    let token = HeldToken {
        token: AccessToken::new("t".repeat(TOKEN)),
        expires_at: datetime!(2026-11-24 12:00 UTC),
        life: Duration::from_hours(1),
        soft_margin: Duration::from_mins(5),
    };
    Arc::new(Snapshot {
        granted_scopes: cache.intern(&scopes),
        ..Snapshot::with_token(token, upstream)
    })
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

// 100,000 accounts live, under 2 KiB each beyond the token.
#[tokio::test]
async fn a_hundred_thousand_accounts_are_held_in_less_than_two_kibibytes_each() {
    const ACCOUNTS: usize = 100_000;
    // The shards fill unevenly, so the capacity exceeds the number of accounts.
    let cache = Cache::new(ACCOUNTS + ACCOUNTS / 20, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let before = resident();
    for _ in 0..ACCOUNTS {
        cache.insert(&snapshot(&cache, &upstream));
    }
    assert_eq!(cache.len(), ACCOUNTS);
    let each = (resident() - before) / ACCOUNTS as u64 - TOKEN as u64;
    assert!(each < 2 * 1024, "{each}");
}

#[tokio::test]
async fn idle_accounts_are_dropped_and_used_ones_stay() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let (idle, used) = (snapshot(&cache, &upstream), snapshot(&cache, &upstream));
    let begun = datetime!(2026-11-24 10:00 UTC);
    idle.last_used.touch(begun);
    used.last_used.touch(begun);
    cache.insert(&idle);
    cache.insert(&used);
    cache.drop_idle(begun + IDLE / 2).await;
    assert_eq!(cache.len(), 2);
    used.last_used.touch(begun + IDLE / 2);
    cache.drop_idle(begun + IDLE).await;
    assert!(cache.get(idle.account).is_none());
    assert!(cache.get(used.account).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_at_all_accounts_pauses_so_that_calls_are_answered_meanwhile() {
    let cache = Cache::new(1_000, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    for _ in 0..ENTRIES_AT_ONCE * 3 {
        cache.insert(&snapshot(&cache, &upstream));
    }
    let begun = Instant::now();
    let mut seen = HashSet::new();
    let mut most_at_once = 0;
    let mut at_once = (begun, 0);
    cache
        .look_at_all(|snapshot| {
            seen.insert(snapshot.account);
            if at_once.0 < Instant::now() {
                at_once = (Instant::now(), 0);
            }
            at_once.1 += 1;
            most_at_once = most_at_once.max(at_once.1);
        })
        .await;
    assert_eq!(seen.len(), ENTRIES_AT_ONCE * 3);
    assert!(most_at_once <= ENTRIES_AT_ONCE, "{most_at_once}");
}

#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let old = snapshot(&cache, &upstream);
    let mut new = snapshot(&cache, &upstream);
    let held = Arc::get_mut(&mut new).unwrap();
    (held.account, held.version) = (old.account, 2);
    cache.insert(&new);
    cache.insert(&old);
    assert_eq!(cache.get(new.account).unwrap().version, 2);
}

// Without a notification, a change is noticed within the revalidation time.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_trusted_for_long_only_while_notifications_arrive() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let pass = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
    pass(1).await;
    let held = snapshot(&cache, &upstream);
    assert!(cache.is_valid(&held));
    pass(6).await;
    assert!(!cache.is_valid(&held), "nothing was ever heard");
    cache.notified_until(Instant::now());
    assert!(cache.is_valid(&held));
    pass(6).await;
    assert!(!cache.is_valid(&held), "nothing is heard any more");
    cache.notified_until(Instant::now());
    assert!(cache.is_valid(&held));
    cache.distrust_all();
    assert!(!cache.is_valid(&held), "changes may have been missed");
    pass(1).await;
    let again = snapshot(&cache, &upstream);
    pass(599).await;
    cache.notified_until(Instant::now());
    assert!(cache.is_valid(&again));
    pass(1).await;
    assert!(!cache.is_valid(&again), "nothing is trusted for ever");
}

/// A snapshot of a row whose last change has this number.
fn numbered(cache: &Cache, upstream: &Arc<Upstream>, change_number: i64) -> Arc<Snapshot> {
    let mut numbered = snapshot(cache, upstream);
    Arc::get_mut(&mut numbered).unwrap().change_number = change_number;
    numbered
}

// R37
#[tokio::test]
async fn a_row_read_before_a_change_and_inserted_after_its_notification_is_refused() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let mut row = numbered(&cache, &Upstream::for_google(), 3);
    cache.invalidate(row.account, 4);
    cache.insert(&row);
    assert!(cache.get(row.account).is_none());
    // A notification of an earlier change does not make it newer.
    cache.invalidate(row.account, 2);
    cache.insert(&row);
    assert!(cache.get(row.account).is_none());
    Arc::get_mut(&mut row).unwrap().change_number = 4;
    cache.insert(&row);
    assert_eq!(cache.get(row.account).unwrap().change_number, 4);
}

#[tokio::test]
async fn the_notification_of_a_change_keeps_the_entry_of_the_changed_row() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let written = numbered(&cache, &Upstream::for_google(), 4);
    cache.insert(&written);
    cache.invalidate(written.account, 4);
    assert!(cache.get(written.account).is_some());
    cache.invalidate(written.account, 5);
    assert!(cache.get(written.account).is_none());
}

#[tokio::test]
async fn an_older_notification_after_a_newer_entry_changes_nothing() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let newer = numbered(&cache, &upstream, 5);
    let mut older = numbered(&cache, &upstream, 4);
    Arc::get_mut(&mut older).unwrap().account = newer.account;
    cache.insert(&newer);
    cache.invalidate(newer.account, 4);
    assert_eq!(cache.get(newer.account).unwrap().change_number, 5);
    cache.insert(&older);
    assert_eq!(cache.get(newer.account).unwrap().change_number, 5);
}

// The numbers of notified changes are forgotten, and rows of that age are not cached.
#[tokio::test(start_paused = true)]
async fn a_row_read_before_a_forgotten_change_is_refused() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let upstream = Upstream::for_google();
    let mut row = numbered(&cache, &upstream, 3);
    cache.invalidate(row.account, 4);
    tokio::time::advance(NUMBERS_KEPT_FOR).await;
    cache.notified_until(Instant::now());
    assert!(locked(&cache.changes).is_empty());
    cache.insert(&row);
    assert!(cache.get(row.account).is_none());
    Arc::get_mut(&mut row).unwrap().read_at = Instant::now();
    cache.insert(&row);
    assert!(cache.get(row.account).is_some());
}

// R30: during an outage one caller at a time waits for the database.
#[tokio::test(start_paused = true)]
async fn while_the_database_is_down_one_caller_at_a_time_probes_it() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let asking = || (0..5).filter(|_| !cache.is_database_down()).count();
    assert_eq!(asking(), 5);
    cache.database_down_for(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(asking(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asking(), 1);
        cache.database_down_for(Duration::from_secs(1));
    }
    // The prober may never report back: then the next caller probes.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(asking(), 1);
    tokio::time::advance(PROBE_TIMEOUT).await;
    assert_eq!(asking(), 1);
    // After a long time without probes the database is not considered down.
    tokio::time::advance(PROBE_TIMEOUT * 2).await;
    assert_eq!(asking(), 5);
    cache.database_down_for(Duration::from_secs(1));
    cache.database_up();
    assert_eq!(asking(), 5);
}
