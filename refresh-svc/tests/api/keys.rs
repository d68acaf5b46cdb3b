//! R35: keys rotate without downtime, and the accounts of a lost key are known.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_config::Environment;
use latchkey_demo_provider::Flavour;
use latchkey_domain::AccountId;
use latchkey_opening::{OpeningKey, key_id_of};
use refresh_svc::commands::check::check;
use refresh_svc::commands::keys::reseal::reseal;
use refresh_svc::commands::keys::status::{Lost, status};
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tonic::Code;

use crate::grant_expiry::left_behind;
use crate::support::{Account, Client, Replica, Token, World, eventually, refusal};

impl World {
    /// Replicas that start from now on get these keys; the first one seals.
    fn hold(&mut self, keys: &[&OpeningKey]) {
        let texts: Vec<String> = keys
            .iter()
            .map(|key| key.to_secret_text().expose_secret().to_owned())
            .collect();
        self.variables
            .retain(|(name, _)| name != "SEALING_PRIVATE_KEYS");
        self.variables
            .push(("SEALING_PRIVATE_KEYS".to_owned(), texts.join(",")));
    }
}

async fn report(environment: &Environment, lost: Lost) -> (bool, String) {
    let mut out = Vec::new();
    let outcome = status(environment, lost, &mut out).await;
    (outcome.is_ok(), String::from_utf8(out).unwrap())
}

/// Number of tokens that a key seals, from the command's output.
fn counted(report: &str, key: &OpeningKey) -> u64 {
    let start = format!("key {}", key.id());
    let line = report.lines().find(|line| line.starts_with(&start));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    words[3].parse::<u64>().unwrap() + words[6].parse::<u64>().unwrap()
}

async fn sealed_to(world: &World, account: &Account) -> Vec<String> {
    let stored = world.stored(account).await;
    [stored.sealed_access_token, stored.sealed_refresh_token]
        .into_iter()
        .flatten()
        .map(|sealed| key_id_of(&sealed).unwrap().to_string())
        .collect()
}

/// Callers that send requests continuously to the current replicas.
struct Load {
    front: Arc<Mutex<Vec<Client>>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: JoinSet<Vec<String>>,
}

impl Load {
    fn start(front: Vec<Client>, idle: &[AccountId], busy: &[AccountId]) -> Self {
        let mut load = Self {
            front: Arc::new(Mutex::new(front)),
            stop: Arc::default(),
            answered: Arc::default(),
            callers: JoinSet::new(),
        };
        for (number, account) in idle.iter().chain(busy).enumerate() {
            let (account, busy) = (*account, busy.contains(account));
            let (front, stop) = (Arc::clone(&load.front), Arc::clone(&load.stop));
            let answered = Arc::clone(&load.answered);
            load.callers.spawn(async move {
                let mut failures = Vec::new();
                let mut turn = number;
                while !stop.load(Ordering::SeqCst) {
                    turn += 1;
                    let client = {
                        let front = front.lock().unwrap();
                        front[turn % front.len()].clone()
                    };
                    let answer = match client.get(account).await {
                        // As if the provider's API had refused the token: a new one is
                        // issued.
                        Ok(token) if busy => client.refused(account, token.version).await.map(drop),
                        answer => answer.map(drop),
                    };
                    match answer {
                        Ok(()) => answered.fetch_add(1, Ordering::SeqCst),
                        Err(error) => {
                            failures.push(format!("{error:?}"));
                            0
                        }
                    };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                failures
            });
        }
        load
    }

    /// Directs callers to other replicas and lets running calls end.
    async fn turn_to(&self, front: Vec<Client>) {
        *self.front.lock().unwrap() = front;
        let seen = self.answered.load(Ordering::SeqCst);
        eventually(async || (self.answered.load(Ordering::SeqCst) > seen + 100).then_some(()))
            .await;
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for failures in self.callers.join_all().await {
            assert_eq!(failures, Vec::<String>::new());
        }
        self.answered.load(Ordering::SeqCst)
    }
}

/// Starts new replicas beside the old ones, then stops the old ones.
async fn roll_out(world: &World, load: &Load, running: &mut Vec<Replica>) {
    let next = [world.replica(), world.replica()];
    let mut front = Vec::new();
    for replica in &next {
        front.push(replica.client(&world.certificates).await);
    }
    // Old and new replicas are mixed: neither may seal what the other cannot open.
    let mut both = front.clone();
    for replica in running.iter() {
        both.push(replica.client(&world.certificates).await);
    }
    load.turn_to(both).await;
    load.turn_to(front).await;
    for replica in std::mem::replace(running, next.into()) {
        replica.stop().await;
    }
}

// R35: the complete rotation of the runbook with continuous callers.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_rotates_under_load_without_a_failed_request() {
    let mut world = World::new()
        .await
        .with("SEALING_RESEAL_EVERY", "200ms")
        // Logins are slow in a debug build, and each replica needs its own.
        .with("DATABASE_MAX_CONNECTIONS", "4")
        .with("TOKEN_CACHE_REVALIDATE", "100ms");
    world.callers_force_without_a_bound().await;
    let (old, new) = (world.key.clone(), OpeningKey::generate().unwrap());
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        for flavour in Flavour::ALL {
            idle.push(world.connect(flavour, "ada", Token::Expires(3000)).await);
        }
        // Strict rotation: overwriting a rotated token would be fatal.
        busy.push(world.expired(Flavour::Oidc).await);
    }
    world.hold(&[&old]);
    let mut running = vec![world.replica(), world.replica()];
    let mut front = Vec::new();
    for replica in &running {
        front.push(replica.client(&world.certificates).await);
    }
    let ids = |accounts: &[Account]| accounts.iter().map(|a| a.id).collect::<Vec<_>>();
    let load = Load::start(front, &ids(&idle), &ids(&busy));

    // 1. Every replica can open what will be sealed to the new key.
    world.hold(&[&old, &new]);
    roll_out(&world, &load, &mut running).await;
    // 2. The new key seals, and the running service moves the rest.
    world.hold(&[&new, &old]);
    roll_out(&world, &load, &mut running).await;
    // A message from before the rotation arrives late, sealed to the old key.
    let late = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let all = 2 * (idle.len() + busy.len() + 1) as u64;
    eventually(async || {
        let (_, report) = report(&world.environment(), Lost::List).await;
        (counted(&report, &old) == 0 && counted(&report, &new) == all).then_some(())
    })
    .await;
    assert_eq!(sealed_to(&world, &late).await, [new.id().as_str(); 2]);
    // 3. The old key goes.
    world.hold(&[&new]);
    roll_out(&world, &load, &mut running).await;

    assert!(load.end().await > 200);
    world.key = new;
    check(&world.environment(), &mut Vec::new()).await.unwrap();
    for account in &idle {
        // A resealed token is not a new version for callers.
        assert_eq!(world.stored(account).await.version, 1);
        assert_eq!(
            world.stored_refresh_token(account).await,
            account.refresh_token
        );
    }
    for account in &busy {
        assert!(world.stored(account).await.version > 3);
        let stored = world.stored_refresh_token(account).await;
        assert!(world.demo.refresh_token_works(&stored));
    }
}

// R35: concurrent commands share the work, and each grant is resealed once.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_move_grants_at_once_move_each_of_them_once() {
    let mut world = World::new().await;
    let (old, new) = (world.key.clone(), OpeningKey::generate().unwrap());
    let mut accounts = Vec::new();
    for _ in 0..120 {
        accounts.push(
            world
                .connect(Flavour::Google, "ada", Token::Expires(3000))
                .await,
        );
    }
    world.hold(&[&new, &old]);
    let environment = world.environment();

    let moved = async || {
        let mut out = Vec::new();
        reseal(&environment, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        let last = text.lines().last().unwrap();
        last.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let (one, other) = tokio::join!(moved(), moved());

    assert_eq!(one + other, accounts.len());
    for account in &accounts {
        assert_eq!(sealed_to(&world, account).await, [new.id().as_str(); 2]);
        assert_eq!(world.stored(account).await.version, 1);
    }
    world.hold(&[&new]);
    check(&world.environment(), &mut Vec::new()).await.unwrap();
}

// R35: PostgreSQL reads from the bytes of a token what this service reads from them.
#[tokio::test]
async fn the_database_and_the_services_read_the_same_key_id() {
    let world = World::new().await;
    let envelope = |version: u8, length: u8, id: &str, rest: usize| {
        let rest = vec![b'x'; rest];
        [&[version, length][..], id.as_bytes(), &rest].concat()
    };
    let longest = "a-Z_0.".repeat(6)[..32].to_owned();
    let cases = [
        (envelope(1, 2, "k1", 48), "k1"),
        (envelope(1, 1, "k", 3000), "k"),
        (envelope(1, 32, &longest, 48), longest.as_str()),
        (envelope(1, 2, "k1", 47), "(none)"),
        (envelope(1, 33, &format!("{longest}b"), 48), "(none)"),
        (envelope(1, 255, "k1", 300), "(none)"),
        (envelope(1, 0, "", 48), "(none)"),
        (envelope(1, 2, "k/", 48), "(none)"),
        (envelope(1, 2, "\u{e9}", 48), "(none)"),
        (envelope(1, 2, "k\0", 48), "(none)"),
        (envelope(1, 2, "k\n", 48), "(none)"),
        (envelope(2, 2, "k1", 48), "(none)"),
        (vec![1], "(none)"),
        (Vec::new(), "(none)"),
    ];
    for (bytes, expected) in cases {
        let stored: String = sqlx::query_scalar("SELECT vault.sealing_key_id($1)")
            .bind(&bytes)
            .fetch_one(world.pool())
            .await
            .unwrap();
        assert_eq!(stored, expected, "{bytes:?}");
        let read = key_id_of(&bytes).map_or_else(|_| "(none)".to_owned(), |id| id.to_string());
        assert_eq!(read, expected, "{bytes:?}");
    }
}

// R35: grants of earlier sign-ins are revoked later, with the keys of that time.
#[tokio::test]
async fn grants_of_earlier_sign_ins_move_to_the_new_key() {
    let mut world = World::new().await;
    let (old, new) = (world.key.clone(), OpeningKey::generate().unwrap());
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    left_behind(&world, &account, Flavour::Oidc).await;
    let (_, before) = report(&world.environment(), Lost::List).await;
    assert_eq!(counted(&before, &old), 3);
    world.hold(&[&new, &old]);
    reseal(&world.environment(), &mut Vec::new()).await.unwrap();
    let (_, after) = report(&world.environment(), Lost::List).await;
    assert_eq!(counted(&after, &new), 3);
}

// R35, R34: exactly the owners of grants of a lost key are asked to sign in again.
#[tokio::test]
async fn a_lost_key_lists_exactly_the_accounts_that_must_sign_in_again() {
    let mut world = World::new().await;
    let (lost, kept) = (world.key.clone(), OpeningKey::generate().unwrap());
    let mut gone = Vec::new();
    for flavour in Flavour::ALL {
        gone.push(world.connect(flavour, "ada", Token::Expires(3000)).await);
    }
    let dead = world.expired(Flavour::Google).await;
    sqlx::query("UPDATE vault.credential SET auth_failed_at = now() WHERE account_id = $1")
        .bind(dead.id.as_uuid())
        .execute(world.pool())
        .await
        .unwrap();
    // Its access token is lost; its refresh token brings another one.
    let mut healing = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    world.key = kept.clone();
    let fine = world
        .connect(Flavour::Microsoft, "ada", Token::Expires(3000))
        .await;
    world.reconnect(&mut healing, Flavour::Google).await;
    sqlx::query(
        "UPDATE vault.credential AS c SET sealed_access_token = g.sealed_access_token
         FROM vault.credential AS g WHERE c.account_id = $1 AND g.account_id = $2",
    )
    .bind(healing.id.as_uuid())
    .bind(gone[0].id.as_uuid())
    .execute(world.pool())
    .await
    .unwrap();
    world.hold(&[&kept]);
    let environment = world.environment();

    let (fine_by_status, report_text) = report(&environment, Lost::List).await;
    assert!(!fine_by_status);
    let mut listed: Vec<&str> = report_text
        .lines()
        .filter_map(|line| line.strip_prefix("account ")?.split(' ').next())
        .collect();
    let mut expected: Vec<String> = gone.iter().map(|a| a.id.to_string()).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert!(report_text.contains(&format!("key {}", lost.id())));
    assert!(world.reauth_events().await.is_empty());

    assert!(report(&environment, Lost::Mark).await.0);
    let mut events: Vec<String> = world
        .reauth_events()
        .await
        .iter()
        .map(|event| {
            assert_eq!(event.reason, "NO_REFRESH_TOKEN");
            event.account_id.clone()
        })
        .collect();
    events.sort_unstable();
    assert_eq!(events, expected);
    let (ok, again) = report(&environment, Lost::Mark).await;
    assert!(ok && !again.contains("account "), "{again}");

    let (_replica, client) = world.served().await;
    for account in &gone {
        let refused = refusal(client.get(account.id).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::FailedPrecondition, "NO_REFRESH_TOKEN")
        );
    }
    for account in [&fine, &healing] {
        client.get(account.id).await.unwrap();
    }
}

/// The key under another id.
fn renamed(key: &OpeningKey, id: &str) -> OpeningKey {
    let text = key.to_secret_text();
    let (_, secret) = text.expose_secret().split_once(':').unwrap();
    format!("{id}:{secret}").parse().unwrap()
}

// R35: an id does not prove that it is the same key.
#[tokio::test]
async fn another_key_under_the_same_id_is_seen_and_named() {
    let mut world = World::new().await;
    let (old, other) = (world.key.clone(), OpeningKey::generate().unwrap());
    let account = world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    left_behind(&world, &account, Flavour::Oidc).await;
    let (fine, text) = report(&world.environment(), Lost::List).await;
    let healthy = format!("key {}: all 3 tokens of a sample open", old.id());
    assert!(fine && text.lines().any(|line| line == healthy), "{text}");
    assert!(!text.contains("warning"), "{text}");

    let impostor = renamed(&other, old.id().as_str());
    world.hold(&[&impostor]);
    let (fine, text) = report(&world.environment(), Lost::List).await;
    let named = format!(
        "key {}: none of 3 tokens of a sample opens: SEALING_PRIVATE_KEYS has another key under \
         this id, the one whose derived id is {}",
        old.id(),
        other.id()
    );
    assert!(!fine && text.lines().any(|line| line == named), "{text}");
    let warned = format!(
        "warning: key {} has another id than {}",
        old.id(),
        other.id()
    );
    assert!(text.contains(&warned), "{text}");
    // Nothing is marked: the key that sealed the grant may still be found.
    assert!(!report(&world.environment(), Lost::Mark).await.0);
    assert!(world.reauth_events().await.is_empty());

    // Of two keys under one id each opens its own tokens.
    world.key = impostor;
    world
        .connect(Flavour::Oidc, "ada", Token::Expires(3000))
        .await;
    let (fine, text) = report(&world.environment(), Lost::List).await;
    let mixed = format!("key {}: 3 of 5 tokens of a sample do not open", old.id());
    assert!(!fine && text.contains(&mixed), "{text}");
}

// R35, R40: keys of before the ids were derived stay valid.
#[test]
fn an_id_that_is_not_derived_from_its_key_is_warned_of_and_not_refused() {
    let key = OpeningKey::generate().unwrap();
    let named = renamed(&key, "k1");
    for (key, warns) in [(&key, false), (&named, true)] {
        let text = key.to_secret_text().expose_secret().to_owned();
        let environment: Environment = [("SEALING_PRIVATE_KEYS", text)].into_iter().collect();
        let keys = refresh_svc::config::opening_keys(&environment).unwrap();
        assert_eq!(keys.ids().next(), Some(key.id()));
        let warnings = environment.warnings();
        assert_eq!(warnings.len(), usize::from(warns), "{warnings:?}");
        for warning in warnings {
            assert_eq!(warning.name, "SEALING_PRIVATE_KEYS");
            assert!(warning.problem.contains("key k1"), "{warning}");
        }
    }
}
