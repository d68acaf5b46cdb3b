use latchkey_domain::AccessToken;
use time::macros::datetime;

use super::*;
use crate::lane::Lane;
use crate::snapshot::{HeldToken, InUse};

/// A token of the usual length.
const TOKEN: usize = 1_200;

fn snapshot(cache: &Cache, lane: &Arc<Lane>) -> Arc<Snapshot> {
    let scopes = ScopeSet::parse(
        "openid email profile https://www.googleapis.com/auth/gmail.readonly \
         https://www.googleapis.com/auth/gmail.send https://www.googleapis.com/auth/calendar.events",
    );
    Arc::new(Snapshot {
        account: AccountId::generate(),
        workspace: WorkspaceId::generate(),
        token: Some(HeldToken {
            token: AccessToken::new("t".repeat(TOKEN)),
            expires_at: datetime!(2026-11-24 12:00 UTC),
            life: Duration::from_hours(1),
            soft_margin: Duration::from_mins(5),
        }),
        granted_scopes: cache.share(&scopes),
        version: 1,
        history: None,
        dead: false,
        erased: false,
        refreshable: true,
        read_at: Instant::now(),
        lane: Arc::clone(lane),
        in_use: InUse::default(),
    })
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

// 100,000 accounts live, under 2 KiB each beyond the token.
#[tokio::test]
async fn a_hundred_thousand_accounts_are_held_in_less_than_two_kibibytes_each() {
    const ACCOUNTS: usize = 100_000;
    // Its shards fill unevenly: a little more than there are.
    let cache = Cache::new(ACCOUNTS + ACCOUNTS / 20, Duration::from_secs(5));
    let lane = Lane::to_google();
    let before = resident();
    for _ in 0..ACCOUNTS {
        cache.put(&snapshot(&cache, &lane));
    }
    assert_eq!(cache.len(), ACCOUNTS);
    let each = (resident() - before) / ACCOUNTS as u64 - TOKEN as u64;
    assert!(each < 2 * 1024, "{each}");
}

#[tokio::test]
async fn what_nobody_asks_for_leaves_and_what_is_asked_for_stays() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let lane = Lane::to_google();
    let (idle, used) = (snapshot(&cache, &lane), snapshot(&cache, &lane));
    let begun = datetime!(2026-11-24 10:00 UTC);
    idle.in_use.touch(begun);
    used.in_use.touch(begun);
    cache.put(&idle);
    cache.put(&used);
    cache.drop_idle(begun + IDLE / 2);
    assert_eq!(cache.len(), 2);
    used.in_use.touch(begun + IDLE / 2);
    cache.drop_idle(begun + IDLE);
    assert!(cache.get(idle.account).is_none());
    assert!(cache.get(used.account).is_some());
}

#[tokio::test]
async fn an_older_look_never_replaces_a_newer_one() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let lane = Lane::to_google();
    let old = snapshot(&cache, &lane);
    let mut new = snapshot(&cache, &lane);
    let held = Arc::get_mut(&mut new).unwrap();
    (held.account, held.version) = (old.account, 2);
    cache.put(&new);
    cache.put(&old);
    assert_eq!(cache.get(new.account).unwrap().version, 2);
}

// A change that is not told counts within the revalidation.
#[tokio::test(start_paused = true)]
async fn a_look_is_trusted_for_long_only_while_changes_are_proven_to_be_told() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let lane = Lane::to_google();
    let pass = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
    pass(1).await;
    let held = snapshot(&cache, &lane);
    assert!(cache.is_young(&held));
    pass(6).await;
    assert!(!cache.is_young(&held), "nothing was ever heard");
    cache.heard_until(Instant::now());
    assert!(cache.is_young(&held));
    pass(6).await;
    assert!(!cache.is_young(&held), "nothing is heard any more");
    cache.heard_until(Instant::now());
    assert!(cache.is_young(&held));
    cache.doubt_everything();
    assert!(!cache.is_young(&held), "changes may have been missed");
}

// A look from before the change may come in after it was told.
#[tokio::test(start_paused = true)]
async fn what_was_read_about_the_time_of_a_change_is_looked_at_again() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let lane = Lane::to_google();
    let pass = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
    pass(1).await;
    let mut late = snapshot(&cache, &lane);
    cache.forget(late.account);
    pass(1).await;
    Arc::get_mut(&mut late).unwrap().read_at = Instant::now();
    assert!(cache.is_young(&late));
    pass(6).await;
    cache.heard_until(Instant::now());
    assert!(!cache.is_young(&late));
    let mut again = late;
    Arc::get_mut(&mut again).unwrap().read_at = Instant::now();
    pass(6).await;
    cache.heard_until(Instant::now());
    assert!(cache.is_young(&again));
    pass(600).await;
    cache.heard_until(Instant::now());
    assert!(!cache.is_young(&again), "nothing is trusted for ever");
}

// R30: an outage makes one caller wait now and then, and not all of them.
#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_one_caller_at_a_time_asks_for_it() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let asking = || (0..5).filter(|_| !cache.is_cut_off()).count();
    assert_eq!(asking(), 5);
    cache.cut_off_for(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(asking(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asking(), 1);
        cache.cut_off_for(Duration::from_secs(1));
    }
    // Of one that left nothing is heard: the next one asks.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(asking(), 1);
    tokio::time::advance(PROBE).await;
    assert_eq!(asking(), 1);
    // What nobody asked about for long is not taken for an outage.
    tokio::time::advance(PROBE * 2).await;
    assert_eq!(asking(), 5);
    cache.cut_off_for(Duration::from_secs(1));
    cache.reached();
    assert_eq!(asking(), 5);
}
