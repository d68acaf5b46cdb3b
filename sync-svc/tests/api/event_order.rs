//! Every order of every set of up to four grants, with the real SQL.

use std::collections::HashMap;

use latchkey_domain::EventId;
use latchkey_proto::events::Intent;
use latchkey_testkit::TestDatabase;
use sqlx::{Connection as _, PgConnection};

use crate::support::history::{FinalState, Grant, TestAccount, Width, connection};

/// The stored state after every set of grants. By induction over the sets: if the state
/// does not depend on which grant arrived last, it depends on no order.
struct Sets {
    account: TestAccount,
    kinds: Vec<Grant>,
    most: usize,
    ends: HashMap<Vec<Option<usize>>, FinalState>,
    steps: usize,
}

impl Sets {
    fn grant(&self, place: usize, kind: usize) -> Grant {
        Grant {
            second: i64::try_from(place).unwrap() + 1,
            ..self.kinds[kind]
        }
    }

    /// Compares the state after each further grant, and continues with the sets whose
    /// grants arrived in the order of their times.
    async fn explore(&mut self, connection: &mut PgConnection, set: Vec<Option<usize>>) {
        let latest = set.iter().rposition(Option::is_some);
        for place in (0..self.most).filter(|place| set[*place].is_none()) {
            for kind in 0..self.kinds.len() {
                let mut next = set.clone();
                next[place] = Some(kind);
                let mut savepoint = connection.begin().await.unwrap();
                let grant = self.grant(place, kind);
                self.account
                    .signs_in(&mut savepoint, EventId::generate(), &grant)
                    .await;
                let end = self.account.final_state(&mut savepoint).await;
                self.steps += 1;
                if let Some(known) = self.ends.get(&next) {
                    assert_eq!(known, &end, "{grant:?} last of {next:?}");
                } else {
                    self.ends.insert(next.clone(), end);
                }
                if latest.is_none_or(|latest| place > latest) {
                    Box::pin(self.explore(&mut savepoint, next)).await;
                }
                savepoint.rollback().await.unwrap();
            }
        }
    }
}

fn kinds() -> Vec<Grant> {
    let mut kinds = Vec::new();
    for width in [Width::Plain, Width::Mail, Width::Both] {
        for has_refresh_token in [false, true] {
            kinds.push(Grant::new(0, width, has_refresh_token));
        }
    }
    kinds.push(Grant::new(0, Width::Calendar, true));
    kinds
}

// R21, R27: with and without refresh token; narrower, equal and wider scopes, and scopes
// of which neither covers the other.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_every_set_of_up_to_four_grants_ends_the_same_in_the_database() {
    let database = TestDatabase::create().await;
    let mut connection = connection(&database).await;
    let mut transaction = connection.begin().await.unwrap();
    let mut sets = Sets {
        account: TestAccount::new(),
        kinds: kinds(),
        most: 4,
        ends: HashMap::new(),
        steps: 0,
    };
    sets.explore(&mut transaction, vec![None; 4]).await;
    assert_eq!(sets.ends.len(), 8_usize.pow(4) - 1, "every set");
    assert_eq!(sets.steps, 4 * 7 * 8_usize.pow(3), "every last step");
    assert!(sets.ends.values().all(|end| end.tokens.is_some()));
}

/// The orders in which these grants can arrive: some before the event of the account at
/// the second `happens`, which have earlier times, and the others after it.
fn orders(grants: &[Grant], happens: i64) -> Vec<(Vec<Grant>, Vec<Grant>)> {
    let mut found = Vec::new();
    for order in permutations(grants) {
        for first in 1..=order.len() {
            let (before, after) = order.split_at(first);
            if before.iter().all(|grant| grant.second < happens) {
                found.push((before.to_vec(), after.to_vec()));
            }
        }
    }
    found
}

fn permutations(grants: &[Grant]) -> Vec<Vec<Grant>> {
    if grants.is_empty() {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for (index, grant) in grants.iter().enumerate() {
        let mut rest = grants.to_vec();
        rest.remove(index);
        for mut order in permutations(&rest) {
            order.insert(0, *grant);
            found.push(order);
        }
    }
    found
}

/// Every combination of three kinds, at the seconds 10, 20 and 30.
fn triples(kinds: &[Grant]) -> impl Iterator<Item = Vec<Grant>> {
    let count = kinds.len();
    (0..count.pow(3)).map(move |number| {
        [
            number % count,
            number / count % count,
            number / count / count,
        ]
        .into_iter()
        .zip([10, 20, 30])
        .map(|(kind, second)| Grant {
            second,
            ..kinds[kind]
        })
        .collect()
    })
}

// R27, R37
#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_three_grants_and_a_disconnect_ends_the_same_in_the_database() {
    let database = TestDatabase::create().await;
    let mut connection = connection(&database).await;
    let mut kinds = Vec::new();
    for intent in [Intent::SignIn, Intent::Connect] {
        for width in [Width::Mail, Width::Both] {
            kinds.push(Grant {
                intent,
                ..Grant::new(0, width, true)
            });
        }
    }
    for grants in triples(&kinds) {
        for disconnect in [15, 25, 35] {
            let mut ends = Vec::new();
            for (before, after) in orders(&grants, disconnect) {
                let mut transaction = connection.begin().await.unwrap();
                let account = TestAccount::new();
                for grant in &before {
                    let id = EventId::generate();
                    account.signs_in(&mut transaction, id, grant).await;
                }
                let notification = account.disconnects(&mut transaction, disconnect).await;
                for grant in &after {
                    let id = EventId::generate();
                    account.signs_in(&mut transaction, id, grant).await;
                }
                account
                    .receives_disconnect(
                        &mut transaction,
                        EventId::generate(),
                        &notification.unwrap(),
                    )
                    .await;
                ends.push(account.final_state(&mut transaction).await);
                transaction.rollback().await.unwrap();
            }
            assert!(!ends.is_empty());
            assert!(
                ends.iter().all(|end| *end == ends[0]),
                "{grants:?} disconnected at {disconnect}: {ends:#?}"
            );
            let revived = grants
                .iter()
                .any(|grant| grant.second > disconnect && grant.intent == Intent::Connect);
            assert_eq!(ends[0].erased, !revived, "{grants:?} {disconnect}");
        }
    }
}

// R22, R27
#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_three_grants_of_which_one_dies_ends_the_same_in_the_database() {
    let database = TestDatabase::create().await;
    let mut connection = connection(&database).await;
    let kinds = [Width::Plain, Width::Mail, Width::Both].map(|width| Grant::new(0, width, true));
    for grants in triples(&kinds) {
        for (origin, death) in [(10, 15), (10, 25), (10, 35), (20, 25), (20, 35), (30, 35)] {
            let mut ends = Vec::new();
            for (before, after) in orders(&grants, death) {
                if before.iter().all(|grant| grant.second != origin) {
                    continue;
                }
                let mut transaction = connection.begin().await.unwrap();
                let account = TestAccount::new();
                for grant in &before {
                    let id = EventId::generate();
                    account.signs_in(&mut transaction, id, grant).await;
                }
                let notification = account.dies(&mut transaction, origin, death).await;
                for grant in &after {
                    let id = EventId::generate();
                    account.signs_in(&mut transaction, id, grant).await;
                }
                if let Some(notification) = notification {
                    account
                        .receives_death(&mut transaction, EventId::generate(), &notification)
                        .await;
                }
                ends.push(account.final_state(&mut transaction).await);
                transaction.rollback().await.unwrap();
            }
            assert!(
                ends.iter().all(|end| *end == ends[0]),
                "{grants:?} of {origin} dead at {death}: {ends:#?}"
            );
        }
    }
}
