//! How many statements one sign-in takes, with `BEGIN` and `COMMIT`: each is a round trip to the
//! database while the locks of the account are held. docs/performance.md has the numbers.

use latchkey_domain::EventId;
use latchkey_proto::events::{CalendarVisibility, MessageVisibility, UserAuthenticated};
use latchkey_testkit::{Role, Statement, StatementRecorder};

use crate::support::person::{Person, applied, execute};
use crate::support::service::TestService;

/// Starts one replica whose statements are recorded.
async fn recorded() -> (TestService, StatementRecorder) {
    let mut service = TestService::start_with(0, &[]).await;
    let url = service.database.url(Role::Sync);
    let recorder = StatementRecorder::start(&url).await;
    service.start_replica(&[("DATABASE_URL", &recorder.url(&url))]);
    (service, recorder)
}

/// The transaction in which an event is applied.
async fn transaction_of(
    (service, recorder): &(TestService, StatementRecorder),
    id: EventId,
    event: &UserAuthenticated,
) -> Vec<Statement> {
    recorder.take("");
    service.publish(id, event).await;
    applied(service, id).await;
    let mut transaction = Vec::new();
    latchkey_testkit::eventually("the transaction of the event has ended", async || {
        let found = recorder.transactions("INSERT INTO sync.inbox");
        assert!(found.len() <= 1, "{found:#?}");
        transaction = found.into_iter().next().unwrap_or_default();
        !transaction.is_empty()
    })
    .await;
    transaction
}

// R20
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_takes_at_most_eight_statements() {
    let recorded = recorded().await;
    let person = Person::new();
    let first = EventId::generate();
    let new = EventId::generate;
    for (what, most, id, event) in [
        ("the first sign-in", 8, first, person.sign_in(0)),
        ("the same event again", 3, first, person.sign_in(0)),
        ("a later sign-in", 8, new(), person.sign_in(10)),
        (
            "a later one without a refresh token",
            6,
            new(),
            person.without_refresh_token(20),
        ),
        ("a narrower one", 7, new(), person.plain(30)),
    ] {
        let sent = transaction_of(&recorded, id, &event).await;
        assert!(sent.len() <= most, "{what}: {}, {sent:#?}", sent.len());
    }
}

// R20
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_choices_and_the_repair_of_a_dead_grant_take_some_more_statements() {
    let recorded = recorded().await;
    let person = Person::new();
    let mut chosen = person.connects(0);
    let connection = chosen.connection.as_mut().unwrap();
    connection.message_visibility = MessageVisibility::Metadata.into();
    connection.calendar_visibility = CalendarVisibility::Metadata.into();
    let sent = transaction_of(&recorded, EventId::generate(), &chosen).await;
    assert!(sent.len() <= 9, "a choice: {}, {sent:#?}", sent.len());

    execute(
        &recorded.0,
        "UPDATE vault.credential SET auth_failed_at = authenticated_at",
    )
    .await;
    let sent = transaction_of(&recorded, EventId::generate(), &person.sign_in(10)).await;
    assert!(sent.len() <= 11, "a repair: {}, {sent:#?}", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_a_sign_in_are_prepared_once_on_each_connection() {
    let recorded = recorded().await;
    for (round, person) in [Person::new(), Person::new()].into_iter().enumerate() {
        for second in [0, 10] {
            let event = person.sign_in(second);
            let sent = transaction_of(&recorded, EventId::generate(), &event).await;
            let parsed: Vec<&str> = sent
                .iter()
                .filter(|statement| statement.parsed)
                .map(|statement| statement.text.as_str())
                .collect();
            if round > 0 {
                assert_eq!(parsed, ["BEGIN", "COMMIT"]);
            }
        }
    }
}
