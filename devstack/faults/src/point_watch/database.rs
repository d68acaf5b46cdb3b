//! The points that statements reach: what a service lets PostgreSQL execute, and what PostgreSQL
//! has executed.

use latchkey_servers::{Conversation, Direction, ExecutedStatement, Statement};
use uuid::Uuid;

use crate::part::Target;
use crate::point::Point;

/// Part of a statement in the transaction of a callback.
const OF_CALLBACK: &str = "INSERT INTO auth.spent_flow";
/// Part of a statement in the transaction of a delivery.
const OF_DELIVERY: &str = "INSERT INTO sync.inbox";
/// Part of the statement that takes the leases of the accounts `$1` for refreshes.
const TAKES_LEASE: &str = "intent_at = clock_timestamp()";
/// Part of the statement that stores the tokens of the accounts `$1` after refreshes.
const STORES_TOKENS: &str = "SET sealed_access_token = given.access_token";

/// Reads one connection of a service.
pub(super) struct Observer {
    target: Target,
    conversation: Conversation,
    /// Whether the last transaction has the statement by which it is recognized.
    is_recognized: bool,
}

impl Observer {
    pub(super) fn of(target: Target) -> Self {
        Self {
            target,
            conversation: Conversation::default(),
            is_recognized: false,
        }
    }

    /// Returns the points that the service reaches with a packet, and their accounts.
    pub(super) fn see(
        &mut self,
        direction: Direction,
        packet: &[u8],
    ) -> Vec<(Point, Option<Uuid>)> {
        match direction {
            Direction::Request => {
                let sent = self.conversation.sent(packet).into_iter();
                sent.filter_map(|statement| self.sent(&statement)).collect()
            }
            Direction::Response => {
                let executed = self.conversation.answered(packet).into_iter();
                executed.filter_map(|one| self.executed(&one)).collect()
            }
        }
    }

    fn sent(&mut self, statement: &Statement) -> Option<(Point, Option<Uuid>)> {
        let (part, point) = match self.target {
            Target::Auth => (OF_CALLBACK, Point::CodeExchanged),
            Target::Sync => (OF_DELIVERY, Point::DeliveryHandled),
            Target::Refresh => {
                let stores = statement.text.contains(STORES_TOKENS);
                return stores.then(|| (Point::AnswerRead, accounts(statement).next()));
            }
        };
        if statement.text == "BEGIN" {
            self.is_recognized = false;
        } else if statement.text.contains(part) {
            self.is_recognized = true;
        }
        (self.is_recognized && statement.text == "COMMIT").then_some((point, None))
    }

    fn executed(&self, executed: &ExecutedStatement) -> Option<(Point, Option<Uuid>)> {
        let point = match self.target {
            Target::Auth => Point::SignInCommitted,
            Target::Sync => Point::DeliveryCommitted,
            Target::Refresh => return changed(executed),
        };
        (self.is_recognized && executed.tag == "COMMIT").then_some((point, None))
    }
}

/// Returns the point that an update of refresh-svc reaches if it changed a row. The account is one
/// of those whose rows changed, if it is known which ones did.
fn changed(executed: &ExecutedStatement) -> Option<(Point, Option<Uuid>)> {
    let changed: usize = executed.tag.strip_prefix("UPDATE ")?.parse().ok()?;
    if changed == 0 {
        return None;
    }
    let statement = &executed.statement;
    let point = if statement.text.contains(TAKES_LEASE) {
        Point::LeaseTaken
    } else if statement.text.contains(STORES_TOKENS) {
        Point::TokensStored
    } else {
        return None;
    };
    let all_changed = accounts(statement).count() == changed;
    Some((point, accounts(statement).next().filter(|_| all_changed)))
}

/// The accounts that a statement is for: its first parameter, an array in binary format.
fn accounts(statement: &Statement) -> impl Iterator<Item = Uuid> {
    /// Dimensions, flags, type of the elements; number of the elements, number of the first one.
    const HEADER: usize = 5 * size_of::<u32>();
    /// The length of an element, and a UUID.
    const ELEMENT: usize = size_of::<u32>() + size_of::<Uuid>();
    let elements = statement.first_parameter().and_then(|it| it.get(HEADER..));
    let elements = elements.unwrap_or_default().chunks_exact(ELEMENT);
    elements.filter_map(|element| Uuid::from_slice(element.get(size_of::<u32>()..)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(text: &str) -> Vec<u8> {
        message(b'Q', &[text.as_bytes(), b"\0"].concat())
    }

    fn done(tag: &str) -> Vec<u8> {
        let complete = message(b'C', &[tag.as_bytes(), b"\0"].concat());
        [complete, message(b'Z', b"I")].concat()
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [[kind].as_slice(), &length, body].concat()
    }

    /// Returns an observer of a connection that has begun.
    fn observer(target: Target) -> Observer {
        let mut observer = Observer::of(target);
        let body = b"\0\x03\0\0user\0ada\0\0";
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        observer.see(Direction::Request, &[length.as_slice(), body].concat());
        observer.see(Direction::Response, &message(b'Z', b"I"));
        observer
    }

    /// Runs statements and returns the points that each is sent and executed with.
    fn points(target: Target, statements: &[(Vec<u8>, &str)]) -> Vec<(Point, Option<Uuid>)> {
        let mut observer = observer(target);
        let mut points = Vec::new();
        for (sent, tag) in statements {
            points.extend(observer.see(Direction::Request, sent));
            points.extend(observer.see(Direction::Response, &done(tag)));
        }
        points
    }

    #[test]
    fn the_points_of_a_transaction_are_its_commit_and_the_answer() {
        for (target, part, before, after) in [
            (
                Target::Auth,
                OF_CALLBACK,
                Point::CodeExchanged,
                Point::SignInCommitted,
            ),
            (
                Target::Sync,
                OF_DELIVERY,
                Point::DeliveryHandled,
                Point::DeliveryCommitted,
            ),
        ] {
            let transaction = |statement: &str, end: &'static str, tag: &'static str| {
                [
                    (simple("BEGIN"), "BEGIN"),
                    (simple(statement), "INSERT 0 1"),
                    (simple(end), tag),
                ]
            };
            let reached = points(target, &transaction(part, "COMMIT", "COMMIT"));
            assert_eq!(reached, [(before, None), (after, None)]);
            let other = points(
                target,
                &transaction("INSERT INTO other", "COMMIT", "COMMIT"),
            );
            assert_eq!(other, []);
            let rolled_back = points(target, &transaction(part, "ROLLBACK", "ROLLBACK"));
            assert_eq!(rolled_back, []);
            // A transaction that failed is rolled back by its commit.
            let failed = points(target, &transaction(part, "COMMIT", "ROLLBACK"));
            assert_eq!(failed, [(before, None)]);
        }
    }

    #[test]
    fn the_points_of_a_refresh_have_its_account() {
        let (account, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let execute = |text: &str, accounts: &[Uuid]| {
            // One dimension, no null, type `uuid`; the number of elements, the first is number 1.
            let number = u32::try_from(accounts.len()).unwrap();
            let header = [1, 0, 2950, number, 1].map(u32::to_be_bytes);
            let mut array = header.concat();
            for account in accounts {
                array.extend(16_u32.to_be_bytes());
                array.extend(account.as_bytes());
            }
            let length = u32::try_from(array.len()).unwrap().to_be_bytes();
            let names_and_formats = b"\0s\0\0\x01\0\x01\0\x01".as_slice();
            let bind = [names_and_formats, &length, &array, b"\0\0"].concat();
            let parse = [b"s\0".as_slice(), text.as_bytes(), b"\0\0\0"].concat();
            [
                message(b'P', &parse),
                message(b'B', &bind),
                message(b'E', b"\0\0\0\0\0"),
                message(b'S', b""),
            ]
            .concat()
        };
        let lease = format!("UPDATE vault.credential SET {TAKES_LEASE}");
        let store = format!("UPDATE vault.credential {STORES_TOKENS}");
        let statements = [
            (execute(&lease, &[account]), "UPDATE 0"),
            (execute(&lease, &[account]), "UPDATE 1"),
            // One of the two leases is not free.
            (execute(&lease, &[account, other]), "UPDATE 1"),
            (execute(&store, &[account, other]), "UPDATE 2"),
            (
                execute("UPDATE vault.credential SET version = 1", &[account]),
                "UPDATE 1",
            ),
        ];
        assert_eq!(
            points(Target::Refresh, &statements),
            [
                (Point::LeaseTaken, Some(account)),
                (Point::LeaseTaken, None),
                (Point::AnswerRead, Some(account)),
                (Point::TokensStored, Some(account)),
            ]
        );
    }

    /// A statement that is worded differently would never be recognized.
    #[test]
    fn the_services_have_the_statements_by_which_points_are_recognized() {
        let statements = [
            (
                OF_CALLBACK,
                include_str!("../../../../auth-svc/src/store/used_flow.rs"),
            ),
            (
                OF_DELIVERY,
                include_str!("../../../../crates/accounts/src/store/inbox.rs"),
            ),
            (
                TAKES_LEASE,
                include_str!("../../../../refresh-svc/src/store/lease.rs"),
            ),
            (
                STORES_TOKENS,
                include_str!("../../../../refresh-svc/src/store/new_tokens.rs"),
            ),
        ];
        for (part, source) in statements {
            assert!(source.contains(part), "{part}");
        }
    }
}
