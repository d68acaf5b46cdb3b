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
        provider: "google".parse().unwrap(),
        token: Some(HeldToken {
            token: AccessToken::new("t".repeat(TOKEN)),
            expires_at: datetime!(2026-11-24 12:00 UTC),
            life: Duration::from_hours(1),
            soft_margin: Duration::from_mins(5),
        }),
        granted_scopes: cache.share(&scopes),
        version: 1,
        failure: None,
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

// Issue 4: 100,000 accounts live, under 2 KiB each beyond the token.
#[tokio::test]
async fn a_hundred_thousand_accounts_are_held_in_less_than_two_kibibytes_each() {
    const ACCOUNTS: u64 = 100_000;
    let cache = Cache::new(ACCOUNTS, Duration::from_secs(5));
    let lane = Lane::of_nobody();
    let before = resident();
    for _ in 0..ACCOUNTS {
        cache.put(snapshot(&cache, &lane)).await;
    }
    cache.settle().await;
    assert_eq!(cache.len(), ACCOUNTS);
    let each = (resident() - before) / ACCOUNTS - TOKEN as u64;
    println!("{each} bytes per account beyond the token");
    assert!(each < 2 * 1024, "{each}");
}

#[tokio::test]
async fn an_older_look_never_replaces_a_newer_one() {
    let cache = Cache::new(10, Duration::from_secs(5));
    let lane = Lane::of_nobody();
    let old = snapshot(&cache, &lane);
    let mut new = snapshot(&cache, &lane);
    let held = Arc::get_mut(&mut new).unwrap();
    (held.account, held.version) = (old.account, 2);
    cache.put(Arc::clone(&new)).await;
    cache.put(old).await;
    assert_eq!(cache.get(new.account).await.unwrap().version, 2);
}
