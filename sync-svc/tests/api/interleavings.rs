//! Random histories of accounts, delivered in random orders: the stored state is that of
//! the delivery in the order of their times.

use latchkey_domain::EventId;
use latchkey_proto::events::{
    AccountDisconnected, AccountReauthRequired, CalendarVisibility, Intent, MessageVisibility,
};
use latchkey_testkit::TestDatabase;
use sqlx::{Connection as _, PgConnection};

use crate::support::history::{FinalState, Grant, TestAccount, Width, connection};

/// Number of orders of each history.
const ORDERS: u64 = 20;
/// Number of connections that run histories at the same time.
const CONNECTIONS: u64 = 4;

/// Number of histories: 100, or `LATCHKEY_TEST_HISTORIES`; 500 make ten thousand orders.
fn histories() -> u64 {
    let asked = std::env::var("LATCHKEY_TEST_HISTORIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(100)
}

/// SplitMix64: a pseudorandom sequence that the seed determines.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(u64::try_from(choices.len()).unwrap());
        choices[usize::try_from(index).unwrap()]
    }
}

#[derive(Debug, Clone, Copy)]
enum HistoryEvent {
    SignIn(Grant),
    Disconnect(i64),
    /// The refresh token of the sign-in at the first second is refused.
    Death(i64, i64),
}

impl HistoryEvent {
    fn second(&self) -> i64 {
        match self {
            Self::SignIn(grant) => grant.second,
            Self::Disconnect(second) | Self::Death(_, second) => *second,
        }
    }
}

/// A sign-in, and one event at every tenth second after it.
fn history(random: &mut Random) -> Vec<HistoryEvent> {
    // Deaths and disconnects are not mixed: which sign-in repairs a death after a
    // disconnect depends on when the death was found.
    let has_deaths = random.percent(30);
    let length = 3 + i64::try_from(random.below(4)).unwrap();
    let mut signed_in = Vec::new();
    (0..length)
        .map(|place| {
            let second = 10 * place;
            if place > 0 && random.percent(25) {
                return if has_deaths {
                    HistoryEvent::Death(random.of(&signed_in), second)
                } else {
                    HistoryEvent::Disconnect(second)
                };
            }
            signed_in.push(second);
            HistoryEvent::SignIn(sign_in(random, second, has_deaths))
        })
        .collect()
}

fn sign_in(random: &mut Random, second: i64, has_deaths: bool) -> Grant {
    let width = random.of(&[
        Width::Plain,
        Width::Mail,
        Width::Calendar,
        Width::Both,
        Width::Both,
    ]);
    Grant {
        intent: random.of(&[Intent::SignIn, Intent::Connect]),
        messages: random.of(&[
            MessageVisibility::Unspecified,
            MessageVisibility::Metadata,
            MessageVisibility::Subject,
            MessageVisibility::ShareEverything,
        ]),
        calendar: random.of(&[
            CalendarVisibility::Unspecified,
            CalendarVisibility::Metadata,
            CalendarVisibility::ShareEverything,
        ]),
        ..Grant::new(second, width, has_deaths || random.percent(65))
    }
}

/// A delivery.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    /// The event with this index happens or is delivered for the first time.
    First(usize),
    /// It is delivered once more, or its notification is delivered.
    Again(usize),
}

/// The order of the times: each notification follows at once, and nothing is delivered
/// twice.
fn in_order(history: &[HistoryEvent]) -> Vec<Arrival> {
    (0..history.len())
        .flat_map(|index| [Arrival::First(index), Arrival::Again(index)])
        .collect()
}

/// A possible order of arrival. Sign-ins and notifications may be late; refresh-svc
/// writes the row at the time of the event.
fn shuffled(history: &[HistoryEvent], random: &mut Random) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let late = |random: &mut Random, second: i64| {
        let delay = if random.percent(40) {
            0
        } else {
            i64::try_from(random.below(120)).unwrap()
        };
        second + delay
    };
    for (index, fact) in history.iter().enumerate() {
        let second = fact.second();
        // The account exists, and a refused token was stored before it is refused.
        let known_by = history
            .iter()
            .filter_map(|other| match other {
                HistoryEvent::Death(origin, at) if *origin == second => Some(*at),
                _ => None,
            })
            .min();
        let at = match fact {
            HistoryEvent::SignIn(_) if index > 0 => {
                late(random, second).min(known_by.unwrap_or(i64::MAX) - 1)
            }
            _ => second,
        };
        arrivals.push((at, random.next(), Arrival::First(index)));
        // A sign-in is sometimes delivered twice, a notification once or twice.
        let notification = u64::from(!matches!(fact, HistoryEvent::SignIn(_)));
        for _ in 0..notification + random.below(2) {
            arrivals.push((late(random, at + 1), random.next(), Arrival::Again(index)));
        }
    }
    arrivals.sort_by_key(|(at, tie, _)| (*at, *tie));
    arrivals.into_iter().map(|(.., arrival)| arrival).collect()
}

enum Notification {
    Disconnect(AccountDisconnected),
    Death(AccountReauthRequired),
}

/// An account after the first event of its history: the first sign-in, which arrives
/// before everything else in every order.
struct StartedHistory<'a> {
    history: &'a [HistoryEvent],
    account: TestAccount,
    ids: Vec<EventId>,
}

impl<'a> StartedHistory<'a> {
    async fn new(connection: &mut PgConnection, history: &'a [HistoryEvent]) -> Self {
        let started = Self {
            history,
            account: TestAccount::new(),
            ids: history.iter().map(|_| EventId::generate()).collect(),
        };
        let HistoryEvent::SignIn(first) = &history[0] else {
            unreachable!("a history begins with a sign-in");
        };
        let id = started.ids[0];
        started.account.signs_in(connection, id, first).await;
        started
    }

    /// Applies the deliveries after the first event in a savepoint that is rolled back.
    async fn final_state(
        &self,
        connection: &mut PgConnection,
        arrivals: &[Arrival],
        fresh_ids: bool,
    ) -> FinalState {
        let mut savepoint = connection.begin().await.unwrap();
        let mut notifications: Vec<Option<Notification>> =
            self.history.iter().map(|_| None).collect();
        for arrival in arrivals {
            match *arrival {
                Arrival::First(0) => {}
                Arrival::First(index) => {
                    notifications[index] = self.occurs(&mut savepoint, index).await;
                }
                Arrival::Again(index) => {
                    // The inbox deletes old entries: then the event counts as new.
                    let id = if fresh_ids {
                        EventId::generate()
                    } else {
                        self.ids[index]
                    };
                    let notification = notifications[index].as_ref();
                    self.receives(&mut savepoint, index, id, notification).await;
                }
            }
        }
        let end = self.account.final_state(&mut savepoint).await;
        savepoint.rollback().await.unwrap();
        end
    }

    async fn occurs(&self, connection: &mut PgConnection, index: usize) -> Option<Notification> {
        let account = &self.account;
        match &self.history[index] {
            HistoryEvent::SignIn(grant) => {
                account.signs_in(connection, self.ids[index], grant).await;
                None
            }
            HistoryEvent::Disconnect(second) => {
                let notification = account.disconnects(connection, *second).await;
                notification.map(Notification::Disconnect)
            }
            HistoryEvent::Death(origin, second) => {
                let notification = account.dies(connection, *origin, *second).await;
                notification.map(Notification::Death)
            }
        }
    }

    async fn receives(
        &self,
        connection: &mut PgConnection,
        index: usize,
        id: EventId,
        notification: Option<&Notification>,
    ) {
        let account = &self.account;
        match (&self.history[index], notification) {
            (HistoryEvent::SignIn(grant), _) => account.signs_in(connection, id, grant).await,
            (_, Some(Notification::Disconnect(notification))) => {
                account
                    .receives_disconnect(connection, id, notification)
                    .await;
            }
            (_, Some(Notification::Death(notification))) => {
                account.receives_death(connection, id, notification).await;
            }
            (_, None) => {}
        }
    }
}

// R21, R22, R27, R37
#[tokio::test(flavor = "multi_thread")]
async fn random_interleavings_end_as_in_the_order_of_their_times() {
    let database = TestDatabase::create().await;
    let runs = (0..CONNECTIONS).map(|run| {
        let database = &database;
        async move {
            let mut connection = connection(database).await;
            let mut compared = 0;
            for number in (0..histories()).filter(|number| number % CONNECTIONS == run) {
                let mut random = Random(number);
                let history = history(&mut random);
                let mut transaction = connection.begin().await.unwrap();
                let started = StartedHistory::new(&mut transaction, &history).await;
                let expected = started
                    .final_state(&mut transaction, &in_order(&history), false)
                    .await;
                for order in 0..ORDERS {
                    let arrivals = shuffled(&history, &mut random);
                    let fresh_ids = order % 2 == 1;
                    let found = started
                        .final_state(&mut transaction, &arrivals, fresh_ids)
                        .await;
                    assert_eq!(
                        found, expected,
                        "history {number}: {history:#?} in {arrivals:?}"
                    );
                    compared += 1;
                }
                transaction.rollback().await.unwrap();
            }
            compared
        }
    });
    let compared: u64 = futures::future::join_all(runs).await.into_iter().sum();
    assert_eq!(compared, histories() * ORDERS);
}
